"""What a mistake of the museum is."""

from collections.abc import Callable
from dataclasses import dataclass

from swin_tutorial.audit.specimen import Specimen


@dataclass(frozen=True)
class Mistake:
    """A mistake that people make, with a name.

    Args:
        name: what it is called, a few words.
        sentence: what went wrong and how to fix it, to the person who made it.
        specimen: a block that makes it.
        seen: where it was seen: packages with versions, threads; "" for mistakes of learners.
        remembers: whether it shows only when one block is called at several sizes.
        same_as: names of mistakes that no audit can tell from this one.
        is_hidden: whether no audit can tell it from right code, since other weights or another
            numbering would give the same result.  It is for exercises.
    """

    name: str
    sentence: str
    specimen: type[Specimen]
    seen: str = ""
    remembers: bool = False
    same_as: tuple[str, ...] = ()
    is_hidden: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of ``Specimen`` that it gets wrong: the exercises that it belongs to."""
        return tuple(name for name in vars(self.specimen) if name in vars(Specimen))

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and those of the mistakes that behave the same."""
        return tuple(dict.fromkeys([self.name, *self.same_as]))


# Here all tokens of a window see each other; only the weights differ.
AS_NO_MASK = (
    "no mask",
    "labels minus themselves",
    "first window's mask for all",
    "scores multiplied by the mask",
    "mask of 0 and 1 added",
    "one head only",
)

MUSEUM: dict[str, Mistake] = {}


def mistake(
    name: str,
    sentence: str,
    seen: str = "",
    remembers: bool = False,
    same_as: tuple[str, ...] = (),
    is_hidden: bool = False,
) -> Callable[[type[Specimen]], type[Specimen]]:
    """Put a specimen into the museum."""

    def add(specimen: type[Specimen]) -> type[Specimen]:
        if name in MUSEUM:
            raise ValueError(f"there are two mistakes named {name!r}")
        MUSEUM[name] = Mistake(name, sentence, specimen, seen, remembers, same_as, is_hidden)
        return specimen

    return add
