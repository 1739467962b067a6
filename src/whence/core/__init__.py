"""Floor 0: the nouns, the errors, the catalogue of methods, readers and writers."""
