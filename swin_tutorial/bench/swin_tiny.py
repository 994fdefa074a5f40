"""The arithmetic of Swin-T at 224 pixels: the matrix products that no implementation can avoid."""

from collections.abc import Callable
from typing import NamedTuple

import torch

WINDOW, SHIFT, HEAD_DIM, PATCH, CLASSES = 7, 3, 32, 4, 1000


class Stage(NamedTuple):
    """A stage of Swin-T."""

    side: int  # tokens on each axis of the map
    dim: int
    num_heads: int
    depth: int


STAGES = (Stage(56, 96, 3, 2), Stage(28, 192, 6, 2), Stage(14, 384, 12, 6), Stage(7, 768, 24, 2))

# A batch of products (..., rows, inner) @ (..., inner, columns): the shapes of its two factors.
Product = tuple[tuple[int, ...], tuple[int, ...]]


def matrix_products(batch: int) -> list[Product]:
    """Return all products of a forward pass, in its order; the first is that of the pixels."""
    products = [((batch * 56**2, 3 * PATCH**2), (3 * PATCH**2, STAGES[0].dim))]
    for stage, (side, dim, num_heads, depth) in enumerate(STAGES):
        tokens, heads = batch * side**2, batch * (side // WINDOW) ** 2 * num_heads
        if stage:  # patch merging
            products.append(((tokens, 2 * dim), (2 * dim, dim)))
        products += depth * [
            ((tokens, dim), (dim, 3 * dim)),  # queries, keys and values
            ((heads, WINDOW**2, HEAD_DIM), (heads, HEAD_DIM, WINDOW**2)),  # scores
            ((heads, WINDOW**2, WINDOW**2), (heads, WINDOW**2, HEAD_DIM)),  # averages of values
            ((tokens, dim), (dim, dim)),
            ((tokens, dim), (dim, 4 * dim)),  # the MLP
            ((tokens, 4 * dim), (4 * dim, dim)),
        ]
    return [*products, ((batch, STAGES[-1].dim), (STAGES[-1].dim, CLASSES))]


def multiply_adds(products: list[Product], training: bool = False) -> int:
    """Return how many multiplications, with an addition each, products take.

    Training takes three times as many, for the gradients to both factors; the pixels need none.
    """
    counts = [torch.Size(a).numel() * b[-1] for a, b in products]
    return 3 * sum(counts) - counts[0] if training else sum(counts)


def bare_products(
    batch: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    training: bool = False,
) -> Callable[[], None]:
    """Return a function that does these products alone, into memory that is there already."""
    factors: dict[Product, tuple] = {}  # products of the same shape share their memory

    def prepared(product: Product) -> tuple:
        if product not in factors:
            a, b = (torch.randn(shape, dtype=dtype, device=device) for shape in product)
            to_out = torch.randn_like(a @ b)
            factors[product] = a, b, to_out, *map(torch.empty_like, (to_out, a, b))
        return factors[product]

    tensors = [prepared(product) for product in matrix_products(batch)]

    def run() -> None:
        for a, b, _, out, _, _ in tensors:
            torch.matmul(a, b, out=out)
        if training:
            for place, (a, b, to_out, _, to_a, to_b) in reversed(list(enumerate(tensors))):
                torch.matmul(a.mT, to_out, out=to_b)
                if place:
                    torch.matmul(to_out, b.mT, out=to_a)

    return run
