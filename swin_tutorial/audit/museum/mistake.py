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
    """

    name: str
    sentence: str
    specimen: type[Specimen]
    seen: str = ""
    remembers: bool = False
    same_as: tuple[str, ...] = ()


MUSEUM: dict[str, Mistake] = {}


def mistake(
    name: str,
    sentence: str,
    seen: str = "",
    remembers: bool = False,
    same_as: tuple[str, ...] = (),
) -> Callable[[type[Specimen]], type[Specimen]]:
    """Put a specimen into the museum."""

    def add(specimen: type[Specimen]) -> type[Specimen]:
        if name in MUSEUM:
            raise ValueError(f"there are two mistakes named {name!r}")
        MUSEUM[name] = Mistake(name, sentence, specimen, seen, remembers, same_as)
        return specimen

    return add
