"""Find the bug: a block with one wrong step, and a geometry at which the mistake shows."""

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from swin_tutorial.audit.dependence import random_map
from swin_tutorial.audit.museum import MUSEUM
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.exercises.exercise import Investigation
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import size_text

GEOMETRY = (
    "a geometry, (height, width, window_size, shift_size), where window_size and shift_size are a "
    "number or a pair"
)
_MOST_TOKENS = 200  # a larger map takes a copy for each of its tokens
_DIM = 4  # channels


@dataclass(frozen=True, kw_only=True)
class Bug(Investigation):
    """A block of the museum: the reader finds a geometry at which it goes wrong.

    Args:
        mistake: its name in the museum.
    """

    mistake: str

    def source(self) -> str:
        """Return the wrong step, without the mistake's name."""
        return source_of(MUSEUM[self.mistake].specimen)


def find_the_bug(
    mistake: str,
    solution: Sequence,
    nudge: str,
    rule: Callable[[WindowGrid], str] = lambda grid: "",
) -> Bug:
    """Return the question for a geometry at which a mistake shows.

    Args:
        mistake: its name in the museum.
        solution: one such geometry.
        nudge: where to look, for those who gave a geometry at which the block is right.
        rule: says what is wrong with the geometry otherwise, "" if nothing is.
    """
    return Bug(
        validate=partial(_why_wrong, mistake, nudge, rule),
        solution=solution,
        kind=GEOMETRY,
        explain=partial(_what_it_is, mistake),
        mistake=mistake,
    )


def wrong_alone(*others: str) -> Callable[[WindowGrid], str]:
    """Return a rule: no other mistake may show at the geometry, so that it tells blocks apart."""

    def rule(grid: WindowGrid) -> str:
        if any(what_goes_wrong(MUSEUM[other].specimen, grid) for other in others):
            return (
                f"With {_in_words(grid)} this block is wrong, but another one of the group is too. "
                "Find a geometry at which this one is wrong alone."
            )
        return ""

    return rule


def show_right_block(*steps: str) -> None:
    """Show, in a notebook, the right block: what it calls in which order, and some of its steps.

    Args:
        steps: the names of those to show.
    """
    sources = [inspect.getsource(getattr(Specimen, name)) for name in ("__call__", *steps)]
    _show("class RightBlock:\n" + "\n".join(sources))


def show_block(name: str) -> None:
    """Show, in a notebook, the step in which a block differs from the right one.

    Args:
        name: the exercise's name, as it stands in the chapter.
    """
    from swin_tutorial.exercises.check import EXERCISES

    _show(EXERCISES[name].source())


def source_of(specimen: type[Specimen]) -> str:
    """Return the body of a specimen's class, without what would name its mistake."""
    lines = inspect.getsource(specimen).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    assert isinstance(tree, ast.ClassDef)
    steps = [one for one in tree.body if not isinstance(one, ast.Expr)]  # not the docstring
    return "\n".join(["class Block(RightBlock):", *lines[steps[0].lineno - 1 :]])


def _show(source: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(f"```python\n{source.rstrip()}\n```"))


def what_goes_wrong(specimen: type[Specimen], grid: WindowGrid) -> str:
    """Say in a sentence what a block does wrong at a geometry, "" if nothing."""
    x = random_map(grid.size, _DIM, torch.float64)
    block, right = (
        kind(grid.window_size, grid.shift_size, grid.periodic, padding="mask")
        for kind in (specimen, Specimen)
    )
    expected = right(x)
    try:
        got = block(x)
    except Exception as error:  # that it fails is what goes wrong
        return f"There it raises {type(error).__name__}."
    if got.shape != expected.shape:
        return f"There a map of shape {tuple(x.shape)} comes out with shape {tuple(got.shape)}."
    differs = ~torch.isclose(got, expected, rtol=1e-9, atol=1e-12).all(-1)[0]
    if not differs.any():
        return ""
    if pair := _wrong_pair(block, right, x):
        return pair
    sees = padding_seen(block, x) & ~padding_seen(right, x)
    if sees.any():
        return f"There token {_first(sees)} attends to padding, and it must not."
    return f"There token {_first(differs)} depends on the right tokens, but its numbers are wrong."


def _wrong_pair(block: Specimen, right: Specimen, x: Tensor) -> str:
    """Name two tokens that see each other and must not, or the other way around; "" if none."""
    sees, should = (dependence(one, x) for one in (block, right))
    size = tuple(x.shape[1:-1])
    for wrong, verb, rule in (
        (sees & ~should, "depends on", "must not"),
        (should & ~sees, "does not depend on", "should"),
    ):
        if wrong.any():
            query, key = (_place(token, size) for token in _first(wrong))
            return f"There token {query} {verb} token {key}, and it {rule}."
    return ""


def dependence(block: Specimen, x: Float[Tensor, "1 *size c"]) -> Bool[Tensor, "q k"]:
    """Return which output tokens depend on which input tokens, on a small map."""
    tokens = torch.arange(prod(x.shape[1:-1]))
    changed = x.repeat(len(tokens), *[1] * (x.ndim - 1))  # a copy for each token that is changed
    changed.flatten(1, -2)[tokens, tokens] += 1
    return ((block(changed) - block(x)).abs() > 1e-10).any(-1).flatten(1).T


def padding_seen(block: Specimen, x: Float[Tensor, "1 *size c"]) -> Bool[Tensor, "*size"]:
    """Return which output tokens change with what stands in the padding.

    Padding is what a block fills with zeros on a map of ones.
    """
    kind = type(block)

    class Filled(kind):
        def pad(self, x, window):
            is_padding = super().pad(torch.ones_like(x), window) == 0
            return super().pad(x, window).masked_fill(is_padding, 1)

    filled = Filled(block.window_size, block.shift_size, block.periodic, block.padding)
    return ((filled(x) - block(x)).abs() > 1e-10).any(-1)[0]


def _why_wrong(
    mistake: str, nudge: str, rule: Callable[[WindowGrid], str], geometry: Sequence
) -> str:
    grid = _grid(geometry)
    if what_goes_wrong(MUSEUM[mistake].specimen, grid):
        return rule(grid)
    return f"With {_in_words(grid)} this block is right. {nudge}"


def _what_it_is(mistake: str, geometry: Sequence) -> str:
    found = MUSEUM[mistake]
    seen = f" It was seen in {found.seen}." if found.seen else ""
    wrong = what_goes_wrong(found.specimen, _grid(geometry))
    return f"{wrong} The mistake is called “{found.name}”.{seen}"


def _grid(geometry: Sequence) -> WindowGrid:
    """Return the grid of a geometry.  Raises ValueError for one that makes no sense."""
    if len(geometry) != 4:
        raise ValueError(f"these are {len(geometry)} numbers")
    height, width, window_size, shift_size = map(_whole, geometry)
    grid = WindowGrid((height, width), window_size, shift_size)
    if prod(grid.padded_size) > _MOST_TOKENS:
        raise ValueError(f"a map of {_MOST_TOKENS} tokens or fewer is enough")
    return grid


def _whole(number: Any) -> Any:
    """Return 4 for 4.0, and the pair of such numbers for a pair."""
    if isinstance(number, list | tuple):
        return tuple(map(_whole, number))
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _in_words(grid: WindowGrid) -> str:
    size, window, shift = map(size_text, (grid.size, grid.window_size, grid.shift_size))
    return f"{size} tokens, windows of {window} and a shift of {shift}"


def _first(flags: Tensor) -> tuple[int, ...]:
    return tuple(flags.nonzero()[0].tolist())


def _place(token: int, size: tuple[int, ...]) -> tuple[int, int]:
    return divmod(token, size[-1])
