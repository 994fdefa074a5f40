"""Predictions and exercises: a stub says that it was not attempted, an attempt is checked by cases.

A check is plain for now: it runs an attempt on a list of cases and shows the first that fails.
"""

from swin_tutorial.exercises.check import Verdict, check, reveal, verify
from swin_tutorial.exercises.investigations import INVESTIGATIONS, investigate, judge
from swin_tutorial.exercises.questions import EXERCISES, Exercise

__all__ = [
    "EXERCISES",
    "INVESTIGATIONS",
    "Exercise",
    "Verdict",
    "check",
    "investigate",
    "judge",
    "reveal",
    "verify",
]
