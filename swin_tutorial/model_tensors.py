"""A model's tensors: found inside what training wraps around it, checked, filled all at once."""

import contextlib

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from swin_tutorial.model import SwinTransformer

HEAD = ("head.weight", "head.bias")
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrapped(model: nn.Module) -> SwinTransformer:
    """Return the model inside ``torch.compile``, data parallelism or a moving average.

    Raises ValueError if there is no ``SwinTransformer`` inside.
    """
    inside = model
    while not isinstance(inside, SwinTransformer):
        if isinstance(inside, _WRAPPERS):
            inside = inside.module
        elif hasattr(inside, "_orig_mod"):  # torch.compile
            inside = inside._orig_mod
        else:
            raise ValueError(
                f"the model is a {type(inside).__name__} and no SwinTransformer: pass the "
                "SwinTransformer inside it"
            )
    return inside


def named_tensors(model: SwinTransformer) -> dict[str, Tensor]:
    """Return a model's tensors by name.  They share memory with the model.

    Raises ValueError unless they have the names and the shapes that its configuration asks for (a
    head may be missing, or be for other classes) and hold values.
    """
    state = model.state_dict()
    with torch.device("meta"):
        expected = SwinTransformer(model.config).state_dict()
    extra = [
        name
        for name, tensor in state.items()
        if name not in expected or (name not in HEAD and tensor.shape != expected[name].shape)
    ]
    missing = [name for name in expected if name not in state and name not in HEAD]
    if extra or missing:
        raise ValueError(
            "the model's modules were changed (one of them compiled, pruned or adapted?): of the "
            f"tensors of its configuration it lacks {first_three(missing) or 'none'}, and it has "
            f"besides, or of another shape, {first_three(extra) or 'none'}.  Undo the change first"
        )
    check_weights(state, "the model")
    return state


def fill(state: dict[str, Tensor], new: dict[str, Tensor]) -> None:
    """Write new values into a model's tensors: into all of them, or, if one refuses, into none."""
    before = {name: state[name].clone() for name in new}
    try:
        _copy(new, state)
    except BaseException:
        with contextlib.suppress(RuntimeError):  # from the one that refuses, the last written to
            _copy(before, state)
        raise


def check_weights(tensors: dict[str, Tensor], where: str) -> None:
    """Raise ValueError, naming ``where``, for tensors that cannot be a model's weights."""
    flaws = [f"{name} {why}" for name, tensor in tensors.items() if (why := _flaw(tensor))]
    if flaws:
        raise ValueError(f"{where} has tensors that are no weights: {first_three(flaws, '; ')}")


def first_three(items: list[str], between: str = ", ") -> str:
    """Return the first three items in words, and how many more there are."""
    more = f"{between}and {len(items) - 3} more" if len(items) > 3 else ""
    return between.join(items[:3]) + more


@torch.no_grad()
def _copy(values: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    for name, value in values.items():
        state[name].copy_(value)


def _flaw(tensor: Tensor) -> str | None:
    """Say why a tensor cannot hold weights, and what to do; None if it can."""
    if tensor.is_meta:
        return "is on the meta device and has no values (model.to_empty(device=...) makes room)"
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.is_nested:
        return f"is a {type(tensor).__name__} (gather or convert it to a plain tensor)"
    if tensor.layout != torch.strided:
        return f"is a {tensor.layout} tensor (save tensor.to_dense())"
    if tensor.is_quantized or not tensor.is_floating_point():
        return f"holds {tensor.dtype} (weights are floating-point numbers)"
    return None
