"""A configuration that makes no sense is refused at once, under the name that was given."""

import pytest

from swin_tutorial.config import SwinConfig
from swin_tutorial.model import (
    Mlp,
    PatchEmbed,
    PatchMerging,
    SwinTransformer,
    SwinTransformerBlock,
)

pytestmark = pytest.mark.usefixtures("unchecked")

NAN, INFINITY = float("nan"), float("inf")
FIELDS = {"embed_dim": 8, "depths": (2, 1), "num_heads": (1, 2), "window_size": 4}

REFUSED = {
    "version": [0, 3, True, 1.0, "1", None],
    "embed_dim": [0, -8, 8.0, True, "8", NAN, None, 10**9, 10**400],
    "depths": [
        (),
        (1, -2),
        (1, 0),
        (True, 1),
        (1.0, 2),
        (2,),
        (1, 1, 1),
        2,
        "22",
        b"22",
        None,
        (10**12, 1),
    ],
    "num_heads": [(0, 1), (1, -2), (True, 2), (1.0, 2), (3, 3), (1,), 3, "12", None],
    "window_size": [0, -1, True, 7.0, "7", NAN, None, (7,), (4, 4, 4), (4, True), 257, 10**9],
    "window_sizes": [(), (4,), (4, 0), (4, True), (4, 4.0), (4, (2, 2, 2)), (4, 10**9), 4, "44"],
    "patch_size": [0, -4, True, 4.0, (4, 4), "4", None, 10**6, 10**400],
    "in_chans": [0, -1, True, 3.0, None, 10**12],
    "num_classes": [-1, True, 5.0, None, 10**12],
    "mlp_ratio": [0, -1.0, 0.1, NAN, INFINITY, True, "4", None, 1e12, 1e300, 10**400],
    "drop_rate": [-0.1, 1, 1.0, NAN, True, False, "0", None],
    "attn_drop_rate": [-1, 1.0, NAN, True, None],
    "drop_path_rate": [-1, 1, NAN, True, "0.1", None],
    "init_std": [0, -0.02, NAN, INFINITY, True, "0.02", 10**400],
    "qkv_bias": [0, 1, "no", None],
    "grad_checkpointing": [1, "yes", None],
    "use_shift": [0, "no", None],
    "use_mask": [0, "no", None],
    "padding": ["zero", ("mask", "mask"), None],
    "backend": ["fast", 3, None],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in REFUSED.items() for value in values]
)
def test_a_field_that_makes_no_sense_is_refused_by_its_own_name(field, value):
    with pytest.raises((TypeError, ValueError), match=field):
        SwinConfig(**FIELDS | {field: value})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"embed_dim": 9, "num_heads": (2, 2)},
            r"num_heads \(2, 2\) .* each stage, \(9, 18\) for embed_dim 9",
        ),
        ({"num_heads": (1, 3)}, r"num_heads \(1, 3\) must divide .* \(8, 16\)"),
        ({"window_size": 1000}, r"window_size \(1000, 1000\) is .* 1000000 tokens.*at most 65536"),
        ({"pretrained_window_sizes": (8, 8)}, "belongs to version 2"),
        ({"version": 2, "pretrained_window_sizes": (8, 0)}, "pretrained_window_sizes must be at"),
        ({"backend": "fused", "use_mask": False}, "backend='fused' always masks"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        SwinConfig(**FIELDS | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"window_size": (4, 2)},
        {"window_size": 128},
        {"window_sizes": ((4, 2), 4)},
        {"num_classes": 0},
        {"mlp_ratio": 4},
        {"mlp_ratio": 0.125},
        {"init_std": None},
        {"init_std": 1},
        {"drop_rate": 0},
        {"depths": (1,), "num_heads": (2,)},
    ],
)
def test_what_makes_sense_is_taken(fields):
    SwinTransformer(SwinConfig(**FIELDS | fields))


def test_lists_as_json_has_them_become_tuples():
    config = SwinConfig(**FIELDS, window_sizes=((4, 2), 4))
    lists = {"depths": [2, 1], "num_heads": [1, 2], "window_sizes": [[4, 2], 4]}
    assert SwinConfig(**FIELDS | lists) == config
    assert SwinConfig(window_size=[7, 5]) == SwinConfig(window_size=(7, 5))
    assert hash(SwinConfig(**FIELDS | lists)) == hash(config)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PatchEmbed(0, 3, 8), "patch_size must be at least 1, got 0"),
        (lambda: Mlp(8, 0), "hidden_dim must be at least 1, got 0"),
        (lambda: PatchEmbed(4, 0, 8), "in_chans must be at least 1, got 0"),
        (lambda: PatchEmbed(4, 3, -8), "embed_dim must be at least 1, got -8"),
        (lambda: PatchMerging(0), "^dim must be at least 1, got 0"),
        (lambda: SwinTransformerBlock(8, 2, 4, mlp_ratio=0.0), "mlp_ratio must be .* got 0.0"),
        (lambda: SwinTransformerBlock(8, 2, 4, mlp_ratio=INFINITY), "mlp_ratio must be .* got inf"),
        (lambda: SwinTransformerBlock(8, 2, 4, mlp_ratio="22"), "mlp_ratio must be .* got '22'"),
        (lambda: SwinTransformerBlock(8, 2, 4, 4), "shift_size 4 must be smaller than window_size"),
        (lambda: SwinTransformerBlock(8, 2, 4, padding="zero"), "padding must be .* got 'zero'"),
        (lambda: SwinTransformerBlock(8, 2, 4, drop_path=1.5), r"drop_path .* \[0, 1\), got 1.5"),
        (lambda: SwinTransformerBlock(8, 2, 4, drop=NAN), r"proj_drop .* \[0, 1\), got nan"),
        (
            lambda: SwinTransformerBlock(8, 2, (64, 64, 64)),
            r"window_size \(64, 64, 64\) is .*262144",
        ),
    ],
)
def test_a_module_built_alone_checks_what_it_is_given(make, words):
    with pytest.raises(ValueError, match=words):
        make()
