"""The blocks of timm, torchvision and transformers, and our own, and the record of their audits.

``python tests/audit/public_blocks.py`` audits them all, writes data/results/audit_public.json and
prints the table of docs/audit.md.
"""

from swin_tutorial.audit.layouts import tokens_and_size
from swin_tutorial.bench.peers import import_peer
from swin_tutorial.data.paths import PROJECT_DATA

DIM = 16
RECORD = PROJECT_DATA / "results" / "audit_public.json"


# --- each builds a block with one head for a size, a window and a shift: one number per axis ---


def timm_v1(size, window_size, shift_size):
    library = import_peer("timm.models.swin_transformer")
    return library.SwinTransformerBlock(
        DIM, size, num_heads=1, window_size=window_size, shift_size=shift_size
    )


def timm_v2(size, window_size, shift_size):
    library = import_peer("timm.models.swin_transformer_v2")
    return library.SwinTransformerV2Block(
        DIM, size, num_heads=1, window_size=window_size, shift_size=shift_size
    )


def torchvision_v1(size, window_size, shift_size):
    library = import_peer("torchvision.models.swin_transformer")
    return library.SwinTransformerBlock(DIM, 1, list(window_size), list(shift_size))


def torchvision_v2(size, window_size, shift_size):
    library = import_peer("torchvision.models.swin_transformer")
    return library.SwinTransformerBlockV2(DIM, 1, list(window_size), list(shift_size))


def transformers_v1(size, window_size, shift_size):
    """Its windows and shifts are squares."""
    import_peer("transformers")
    library = import_peer("transformers.models.swin.modeling_swin")
    config = library.SwinConfig(window_size=window_size[0], attn_implementation="eager")
    return tokens_and_size(library.SwinLayer(config, DIM, size, 1, shift_size=shift_size[0]))


def transformers_v2(size, window_size, shift_size):
    """Its windows and shifts are squares."""
    import_peer("transformers")
    library = import_peer("transformers.models.swinv2.modeling_swinv2")
    config = library.Swinv2Config(window_size=window_size[0])
    return tokens_and_size(library.Swinv2Layer(config, DIM, size, 1, shift_size=shift_size[0]))
