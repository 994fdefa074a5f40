"""A block's two branches and where their norms stand: what exercises 6.1 and 11.3 ask about.

A wrong place for V1's norms is the right one for V2's, so the two chapters share this file.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.exercises.exercise import WrongWay, random_tensor

Map = Float[Tensor, "b h w _"]
Branch = Callable[[Map], Map]


@dataclass(frozen=True, repr=False)
class Step:
    """Stands for a module of the block, and is written as its name.

    Args:
        name: the module's name in the question.
        matrix: mixes the channels; a tanh follows.
    """

    name: str
    matrix: Float[Tensor, "channels_in channels_out"]

    def __call__(self, x: Map) -> Map:
        return torch.tanh(x @ self.matrix.to(x.dtype))

    def __repr__(self) -> str:
        return self.name


def two_branches(x: Map, first: Branch, second: Branch) -> Map:
    """Add what each branch makes of the map to it, one branch after the other."""
    x = x + first(x)
    return x + second(x)


def norm_before(norm: Branch, step: Branch) -> Branch:
    """Return the branch of Swin V1: pre-norm."""
    return lambda x: step(norm(x))


def norm_after(norm: Branch, step: Branch) -> Branch:
    """Return the branch of Swin V2: res-post-norm."""
    return lambda x: norm(step(x))


def block_of(structure: Callable, order: Callable) -> Callable:
    """Return a function of a map and the block's four modules."""
    return lambda x, norm1, attend, norm2, mlp: structure(
        x, order(norm1, attend), order(norm2, mlp)
    )


def post_norm(x: Map, norm1: Branch, attend: Branch, norm2: Branch, mlp: Branch) -> Map:
    """Return what a block of the first Transformer makes of a map: the norm follows the sum."""
    x = norm1(x + attend(x))
    return norm2(x + mlp(x))


def normed_shortcut(x: Map, norm1: Branch, attend: Branch, norm2: Branch, mlp: Branch) -> Map:
    """Return what comes out if the normed copy replaces the map."""
    x = norm1(x)
    x = x + attend(x)
    x = norm2(x)
    return x + mlp(x)


def structure_ways(order: Callable) -> tuple[WrongWay, ...]:
    """Return the mistakes that do not depend on where the norms stand."""
    structures = {
        "no residual connection": (
            "You replaced the map by what the branches make of it. Add each branch's output to "
            "the map that it read.",
            lambda x, first, second: second(first(x)),
        ),
        "one residual connection around both": (
            "You add only once, around both branches. Each of the two is added to the map that "
            "it read.",
            lambda x, first, second: x + second(first(x)),
        ),
        "branches side by side": (
            "Your MLP reads the block's input. It should read the map to which attention was "
            "already added.",
            lambda x, first, second: x + first(x) + second(x),
        ),
        "second sum starts from the input": (
            "Your MLP reads the right map, but you add its output to the block's input, so "
            "attention's own sum is lost. Update x after the first branch.",
            lambda x, first, second: x + second(x + first(x)),
        ),
        "second residual missing": (
            "You return what the MLP computes. Its output has to be added to the map that it read.",
            lambda x, first, second: second(x + first(x)),
        ),
        "first residual missing": (
            "Attention's output replaces the map. It has to be added to it.",
            lambda x, first, second: (y := first(x)) + second(y),
        ),
        "MLP first": (
            "You ran the MLP before attention. Attention comes first.",
            lambda x, first, second: two_branches(x, second, first),
        ),
    }
    ways = [
        WrongWay(name, sentence, block_of(structure, order))
        for name, (sentence, structure) in structures.items()
    ]
    return (
        *ways,
        WrongWay(
            "one norm twice",
            "You used norm1 in both branches. Each branch has its own: the MLP's is norm2.",
            lambda x, norm1, attend, norm2, mlp: block_of(two_branches, order)(
                x, norm1, attend, norm1, mlp
            ),
        ),
        WrongWay(
            "first norm forgotten",
            "Your attention has no norm. Its branch is built as the MLP's, with norm1.",
            lambda x, norm1, attend, norm2, mlp: two_branches(x, attend, order(norm2, mlp)),
        ),
        WrongWay(
            "norms exchanged",
            "You exchanged the norms. Attention's is norm1 and the MLP's is norm2.",
            lambda x, norm1, attend, norm2, mlp: block_of(two_branches, order)(
                x, norm2, attend, norm1, mlp
            ),
        ),
        WrongWay(
            "second norm forgotten",
            "Your MLP has no norm. Its branch is built as attention's, with norm2.",
            lambda x, norm1, attend, norm2, mlp: two_branches(x, order(norm1, attend), mlp),
        ),
    )


def draw_block(rng: random.Random) -> tuple:
    """Return a random map and norm1, attend, norm2 and mlp for it."""
    batch, height, width, dim = (
        rng.randint(*bounds) for bounds in ((1, 2), (1, 3), (2, 4), (2, 5))
    )
    names = ("norm1", "attend", "norm2", "mlp")
    steps = map(Step, names, random_tensor(4, dim, dim))
    return random_tensor(batch, height, width, dim), *steps
