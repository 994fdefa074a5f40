"""Compile the fused kernels for an H100 (sm_90), on any machine: ``python hopper.py``.

Prints for each kernel the shared memory that it takes, in bytes, and fails if that is more than
there is.  With ``all`` as its argument it does so for every kind of window, head and type.
"""

import itertools
import os
import sys

os.environ.pop("TRITON_INTERPRET", None)

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from swin_tutorial.backends import fused
from swin_tutorial.backends.fused import kernels, launch

SHARED_MEMORY = 227 * 1024  # bytes that one program may have on sm_90
TYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
DATA = ("qkv", "out", "to_out", "to_qkv")
KERNELS = {
    "forward": kernels.forward_kernel,
    "backward": kernels.backward_kernel,
    "bias gradient": kernels.bias_gradient_kernel,
}


def compiled_kernel(name, window_size, dtype, head_dim, version, padding, periodic=False, heads=3):
    """Compile one kernel, or return None if windows of this size have no need of it."""
    make_tile = launch.forward_tile if name == "forward" else launch.backward_tile
    tile = make_tile(window_size[0] * window_size[1], dtype)
    if name == "bias gradient" and tile.queries == tile.keys:
        return None
    constants = {
        "HEADS": heads,
        "HEAD_DIM": head_dim,
        "WINDOW": window_size,
        "MASK_PADDING": (padding == "mask",) * 2,
        "PERIODIC": (periodic, False),
        "HAS_PAD_VALUE": padding == "attend",
        "COSINE": version == 2,
        "QUERIES": tile.queries,
        "KEYS": tile.keys,
        "WIDEN": False,
    }
    signature, alignment = {}, {}
    for place, argument in enumerate(KERNELS[name].arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in DATA:
            signature[argument] = f"*{TYPES[dtype]}"
            alignment[(place,)] = [["tt.divisibility", 16]]
        elif argument in kernels.SIZES + kernels.STRIDES:
            signature[argument] = "i32"
        else:
            signature[argument] = "*fp32"
    source = ASTSource(KERNELS[name], signature, constants, alignment)
    options = {"num_warps": tile.num_warps, "num_stages": tile.num_stages}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def main(everything):
    some = [
        ((7, 7), torch.bfloat16, 32, 1, "mask", True),
        ((16, 16), torch.float32, 64, 2, "attend"),
    ]
    windows = ((2, 2), (4, 8), (7, 7), (8, 8), (10, 10), (12, 12), (16, 16))
    every = itertools.product(windows, TYPES, fused.HEAD_DIMS, (1, 2), ("mask", "attend"))
    for kind in every if everything else some:
        for name in KERNELS:
            compiled = compiled_kernel(name, *kind)
            if compiled is not None:
                taken = compiled.metadata.shared
                print(name, *kind, taken, flush=True)
                assert taken <= SHARED_MEMORY, (name, kind, taken)


if __name__ == "__main__":
    main(sys.argv[1:] == ["all"])
