"""Mistakes that learners make."""

import torch

from swin_tutorial.audit.museum.mistake import mistake
from swin_tutorial.audit.specimen import Specimen, map_dims


@mistake(
    "rolled the wrong way",
    "You rolled by +shift: tokens moved down and right. Roll by -shift, so that the first tokens go "
    "to the far end.",
)
class RolledTheWrongWay(Specimen):
    def roll(self, x, shift):
        return torch.roll(x, list(shift), map_dims(x))

    def roll_back(self, x, shift):
        return torch.roll(x, [-s for s in shift], map_dims(x))


@mistake(
    "shift not undone",
    "The map comes out rolled: token (0, 0) holds the result of its neighbor. Roll back by +shift "
    "at the end.",
)
class NotRolledBack(Specimen):
    def roll_back(self, x, shift):
        return x
