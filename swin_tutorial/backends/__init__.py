"""Ways to compute attention in windows: functions that give the same result, up to rounding.

``eager``, ``sdpa`` and ``flex`` each have ``attend(q, k, v, bias, mask, scale, dropout)``.  The
kernel in ``fused`` reads the feature map itself and so has an ``attend`` of its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from swin_tutorial.backends import eager, flex, sdpa

BACKENDS = ("auto", "eager", "sdpa", "flex", "fused")


def attend_function(backend: str) -> Callable:
    """Return ``attend`` for windows that are cut already; "auto" and "fused" take sdpa's there."""
    modules = {"auto": sdpa, "eager": eager, "sdpa": sdpa, "flex": flex, "fused": sdpa}
    return modules[backend].attend


def prefers_kernel(x: Tensor, head_dim: int, window_size: tuple[int, ...]) -> bool:
    """Return whether "auto" takes the kernel: only on GPUs where it was measured to be faster."""
    if not x.is_cuda:
        return False
    try:
        from swin_tutorial.backends import fused
    except ImportError:  # no Triton
        return False
    autocast = torch.is_autocast_enabled("cuda")
    dtype = torch.get_autocast_dtype("cuda") if autocast else x.dtype
    return torch.cuda.get_device_properties(x.device).name in fused.MEASURED_ON and not (
        fused.unsupported_reason(x.device, dtype, head_dim, window_size)
    )
