"""Compile the fused kernels for an H100 (sm_90), on any machine: ``python tests/hopper.py``.

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

from swin_tutorial import fused

SHARED_MEMORY = 227 * 1024  # bytes that one program may have on sm_90
TYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
DATA = ("qkv", "out", "to_out", "to_qkv")
KERNELS = {
    "forward": fused._forward_kernel,
    "backward": fused._backward_kernel,
    "bias gradient": fused._bias_gradient_kernel,
}


def shared_memory(name, window_size, dtype, head_size, version, padding, heads=3):
    """Compile one kernel and return the bytes of shared memory that it takes, or None if windows
    of this size have no need of it."""
    make_tile = fused.forward_tile if name == "forward" else fused.backward_tile
    tile = make_tile(window_size[0] * window_size[1], dtype)
    if name == "bias gradient" and tile.queries == tile.keys:
        return None
    constants = {
        "HEADS": heads,
        "HEAD_SIZE": head_size,
        "WINDOW": window_size,
        "MASK_PADDING": padding == "mask",
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
        elif argument in fused._SIZES + fused._STRIDES:
            signature[argument] = "i32"
        else:
            signature[argument] = "*fp32"
    source = ASTSource(KERNELS[name], signature, constants, alignment)
    options = {"num_warps": tile.num_warps, "num_stages": tile.num_stages}
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    return compiled.metadata.shared


def main(everything):
    some = [((7, 7), torch.bfloat16, 32, 1, "mask"), ((16, 16), torch.float32, 64, 2, "attend")]
    windows = ((2, 2), (4, 8), (7, 7), (8, 8), (10, 10), (12, 12), (16, 16))
    every = itertools.product(windows, TYPES, fused.HEAD_SIZES, (1, 2), ("mask", "attend"))
    for kind in every if everything else some:
        for name in KERNELS:
            taken = shared_memory(name, *kind)
            if taken is not None:
                print(name, *kind, taken, flush=True)
                assert taken <= SHARED_MEMORY, (name, kind, taken)


if __name__ == "__main__":
    main(sys.argv[1:] == ["all"])
