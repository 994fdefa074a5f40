"""Look at a model without changing it (chapters 07 and 09)."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module of a model in evaluation mode, and each back into its own mode afterwards.

    ``model.train()`` would not do: a part that its owner keeps in evaluation mode would train.
    """
    were_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in were_training:
            module.training = True
