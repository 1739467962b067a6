"""Floor 3: the only place that joins verbs: the study, runs, comparisons, the report, the command line."""
