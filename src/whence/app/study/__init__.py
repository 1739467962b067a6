"""`whence study`: which training examples help, hurt or do nothing, what to drop, what to keep, and is that proven?"""

from whence.app.study.pipeline import Study, study
from whence.app.study.recipe import Recipe

__all__ = ["Recipe", "Study", "study"]
