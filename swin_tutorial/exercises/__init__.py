"""Predictions and exercises: a stub says "not attempted", an attempt is checked on cases.

The questions stand in one file a chapter, and where the package has the function that is asked for,
that function is the solution.  ``check`` judges them all.  A wrong answer that a known mistake
gives gets the sentence that helps; many of these mistakes are the audit's
(``swin_tutorial.audit.museum``).
"""

from swin_tutorial.exercises.check import (
    EXERCISES,
    Verdict,
    check,
    choose,
    diagnose,
    reveal,
    verify,
)

__all__ = ["EXERCISES", "Verdict", "check", "choose", "diagnose", "reveal", "verify"]
