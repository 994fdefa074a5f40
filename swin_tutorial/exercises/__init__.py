"""Predictions and exercises: a stub says "not attempted", an attempt is checked on cases.

The questions stand in one file a chapter, and where the package has the function that is asked for,
that function is the solution.  ``check`` judges them all.  For now it shows the first case that an
attempt gets wrong, and does not yet say which mistake that is.
"""

from swin_tutorial.exercises.check import (
    EXERCISES,
    INVESTIGATIONS,
    check,
    investigate,
    judge,
    reveal,
    verify,
)

__all__ = ["EXERCISES", "INVESTIGATIONS", "check", "investigate", "judge", "reveal", "verify"]
