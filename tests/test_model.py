"""The model: any size in any order, the same from every backend, features, maps, and options."""

import dataclasses

import pytest
import torch

from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import (
    DropPath,
    PatchEmbed,
    PatchMerging,
    SwinConfig,
    SwinTransformer,
    SwinTransformerBlock,
)
from swin_tutorial.presets import PRESETS, create_model
from swin_tutorial.reference import attend_window_by_window, true_windows

SMALL = SwinConfig(embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, num_classes=5)
VERSIONS = [SMALL, dataclasses.replace(SMALL, version=2)]
SIZES = [(64, 64), (45, 30), (36, 100), (5, 3), (1, 1)]


def make(config, **overrides):
    """A model in double precision in which no parameter is 0 or 1."""
    torch.manual_seed(0)
    model = SwinTransformer(dataclasses.replace(config, **overrides)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    return model


def images(*size, batch=2):
    return torch.randn(
        batch, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("config", VERSIONS)
def test_any_size_in_any_order_gives_the_same(config):
    model = make(config)
    with torch.no_grad():
        first = {size: model(images(*size)) for size in SIZES}
        for size in reversed(SIZES):
            assert torch.equal(model(images(*size)), first[size])
            assert torch.equal(make(config)(images(*size)), first[size])
            assert first[size].shape == (2, 5)
            assert first[size].isfinite().all()


@pytest.mark.parametrize("config", VERSIONS)
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_backends_agree_in_output_and_gradient(config, padding):
    results = []
    for backend in ("eager", "sdpa"):
        model = make(config, backend=backend, padding=padding)
        one = images(45, 30).requires_grad_()
        out = model(one)
        out.square().sum().backward()
        gradients = {name: value.grad for name, value in model.named_parameters()}
        results.append((out, one.grad, gradients))
    for eager, sdpa in zip(*results, strict=True):
        torch.testing.assert_close(sdpa, eager, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("config", VERSIONS)
def test_images_of_a_batch_do_not_see_each_other(config):
    model, one = make(config), images(45, 30, batch=3)
    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in one])
        torch.testing.assert_close(model(one), alone)


@pytest.mark.parametrize("config", VERSIONS)
@pytest.mark.parametrize("backend", ["eager", "sdpa", "flex"])
@torch.no_grad()
def test_a_batch_without_images_gives_no_scores(backend, config):
    model, none = make(config, backend=backend), images(45, 30, batch=0)
    assert model(none).shape == (0, 5)
    assert [tuple(one.shape) for one in model.features(none)] == [(0, 12, 8, 8), (0, 6, 4, 16)]
    assert model.attention_maps(none, [(0, 1)])[0, 1].shape == (0, 6, 1, 16, 16)


@pytest.mark.parametrize("config", VERSIONS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_batch_without_images_has_gradients_of_zero(checkpointing, config):
    model = make(config, grad_checkpointing=checkpointing).train()
    model(images(45, 30, batch=0)).sum().backward()
    assert all((parameter.grad == 0).all() for parameter in model.parameters())


@pytest.mark.parametrize("config", VERSIONS)
@pytest.mark.parametrize("backend", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", ["mask", "attend"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "weights"])
def test_half_precision_is_finite_where_there_is_padding(autocast, dtype, padding, backend, config):
    """In V2 a padded token's key is all zeros, whose cosine is 0 / 0 and its slope without bound.

    Source: microsoft/Swin-Transformer issues 82 and 287.
    """
    model = make(config, padding=padding, backend=backend).float()
    x = images(45, 30).float()
    expected = model(x)
    if not autocast:
        model, x = model.to(dtype), x.to(dtype)
    with torch.autocast("cpu", dtype, enabled=autocast):
        out = model(x)
    assert (out - expected).norm() / expected.norm() < {torch.float16: 0.01}.get(dtype, 0.05)
    out.float().square().sum().backward()
    broken = [n for n, one in model.named_parameters() if not one.grad.isfinite().all()]
    assert broken == []


def test_padding_that_is_masked_does_not_change_what_real_tokens_give():
    """A block on a map that does not divide equals attention in every true window, cut out."""
    block = make(SMALL).layers[0].blocks[1]
    x = torch.randn(1, 7, 10, 8, dtype=torch.float64)
    expected = attend_window_by_window(x, block.attn, (4, 4), (2, 2))
    torch.testing.assert_close(block.attend(x), expected)
    attending = make(SMALL, padding="attend").layers[0].blocks[1]
    assert not torch.allclose(attending.attend(x), expected, atol=1e-3)


# A signal, a ring, a map with a ring of columns, a video whose rows are a ring: windows that are
# shifted, and maps of which some do not divide.
MAPS = [
    ((9,), (4,), (2,), False),
    ((12,), (4,), (3,), True),
    ((7, 6), (3, 2), (1, 1), (False, True)),
    ((3, 6, 5), (2, 3, 2), (1, 2, 1), (False, True, False)),
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("size", "window", "shift", "periodic"), MAPS)
def test_a_block_works_on_one_to_three_axes_and_on_rings(size, window, shift, periodic, version):
    torch.manual_seed(0)
    options = {"version": version, "periodic": periodic}
    block = SwinTransformerBlock(8, 2, window, shift, **options).double().eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    x = torch.randn(2, *size, 8, dtype=torch.float64, requires_grad=True)
    out = block(x)
    if version == 1:
        expected = x + attend_window_by_window(
            block.norm1(x), block.attn, window, shift, periodic=periodic
        )
        expected = expected + block.mlp(block.norm2(expected))
        torch.testing.assert_close(out, expected)
    # Token 0 depends on its true window, which goes round the end where an axis is a ring.
    (around,) = (
        positions
        for positions in true_windows(size, window, shift, periodic=periodic)
        if all(0 in on_axis for on_axis in positions)
    )
    expected = torch.zeros(size, dtype=torch.bool)
    expected[torch.meshgrid(*map(torch.tensor, around), indexing="ij")] = True
    (gradient,) = torch.autograd.grad(out[(0,) * (1 + len(size))].sum(), x)
    assert torch.equal(gradient[0].any(-1), expected)


def test_a_window_may_have_another_size_on_each_axis():
    model = make(SMALL, window_size=(4, 2))
    (block,) = {block.window_size: block for block in model.all_blocks()}.values()
    assert block.shift_size == (2, 1)
    x = torch.randn(1, 7, 10, 16, dtype=torch.float64)
    expected = attend_window_by_window(x, block.attn, (4, 2), (2, 1))
    torch.testing.assert_close(block.attend(x), expected)
    assert model(images(45, 30)).shape == (2, 5)


def test_each_stage_may_have_a_window_of_its_own():
    model = make(SMALL, window_sizes=(4, 6))
    found = [(block.window_size, block.shift_size) for block in model.all_blocks()]
    assert found == [(4, 0), (4, 2), (6, 0), (6, 3)]


@torch.no_grad()
def test_shift_and_mask_can_be_left_out_to_see_what_they_are_for():
    assert {block.shift_size for block in make(SMALL, use_shift=False).all_blocks()} == {0}
    block = make(SMALL, use_mask=False).layers[0].blocks[1]
    x = torch.randn(1, 7, 10, 8, dtype=torch.float64)
    grid = block.grid(x)
    expected = grid.merge(block.attn(grid.partition(x)))
    assert torch.equal(block.attend(x), expected)
    assert not torch.allclose(make(SMALL).layers[0].blocks[1].attend(x), expected, atol=1e-3)
    weights = block.attention_map(x)
    normed = grid.partition(block.norm1(x))
    torch.testing.assert_close(weights, block.attn.attention_weights(normed))


@pytest.mark.parametrize("config", VERSIONS)
def test_the_position_bias_can_be_left_out_and_stays_so(config):
    torch.manual_seed(0)
    model = SwinTransformer(dataclasses.replace(config, use_position_bias=False))
    assert model.state_dict().keys() == SwinTransformer(config).state_dict().keys()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    model(images(32, 32).float()).square().sum().backward()
    optimizer.step()
    for block in model.all_blocks():
        bias = block.attn.relative_position_bias()
        assert torch.equal(bias, bias.flatten()[0].expand_as(bias))  # softmax does not see it


@pytest.mark.parametrize("config", VERSIONS)
def test_norms_stand_before_the_branches_in_v1_and_after_them_in_v2(config):
    block = make(config).layers[0].blocks[0]
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    grid = WindowGrid((8, 8), 4)

    def attend(x):
        return grid.merge(block.attn(grid.partition(x)))

    if config.version == 1:
        expected = x + attend(block.norm1(x))
        expected = expected + block.mlp(block.norm2(expected))
    else:
        expected = x + block.norm1(attend(x))
        expected = expected + block.norm2(block.mlp(expected))
    torch.testing.assert_close(block(x), expected)


def test_features_are_a_pyramid_and_cost_no_attention_maps():
    model = make(SMALL)
    maps = model.features(images(45, 30))
    assert [tuple(one.shape) for one in maps] == [(2, 12, 8, 8), (2, 6, 4, 16)]
    torch.testing.assert_close(model.forward_features(images(45, 30)), model.norm(maps[-1]))
    expected = model.head(model.norm(maps[-1]).mean((1, 2)))
    torch.testing.assert_close(model(images(45, 30)), expected)


@pytest.mark.parametrize("config", VERSIONS)
def test_attention_maps_of_chosen_blocks(config):
    model = make(config)
    found = model.attention_maps(images(45, 30), blocks=[(0, 1), (1, 0)])
    assert {block: tuple(one.shape) for block, one in found.items()} == {
        (0, 1): (2, 6, 1, 16, 16),
        (1, 0): (2, 2, 2, 16, 16),
    }
    mask = WindowGrid((12, 8), 4, 2).mask()
    weights = found[0, 1]
    assert (weights[~mask[None, :, None].expand_as(weights)] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    with pytest.raises(ValueError, match=r"no block \[\(0, 2\)\]: depths are \(2, 2\)"):
        model.attention_maps(images(45, 30), blocks=[(0, 2)])


def test_attention_maps_are_those_that_the_block_uses():
    model = make(dataclasses.replace(SMALL, version=2))
    x = model.patch_embed(images(45, 30))
    block = model.layers[0].blocks[0]
    weights = model.attention_maps(images(45, 30), [(0, 0)])[0, 0]
    grid = block.grid(x)
    value = block.attn.project_qkv(grid.partition(x)).chunk(3, dim=-1)[2]
    out = grid.merge(block.attn.proj(weights[:, :, 0] @ value))
    torch.testing.assert_close(out, block.attend(x))


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = make(SMALL, grad_checkpointing=checkpointing, drop_path_rate=0.0).train()
        model(images(45, 30)).square().sum().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters()})
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("init_std", "expected"), [(0.02, 0.02), (0.1, 0.1), (None, 48**-0.5)])
def test_the_first_weights_spread_as_asked(init_std, expected):
    config = SwinConfig(embed_dim=48, depths=(1,), num_heads=(2,), window_size=4, init_std=init_std)
    (block,) = SwinTransformer(config).all_blocks()
    # The tails beyond 2, far more than any of these, are cut off.
    assert block.attn.qkv.weight.std().item() == pytest.approx(expected, rel=0.05)


def test_drop_path_leaves_out_whole_branches_and_keeps_the_mean():
    drop_path = DropPath(0.25).eval()
    branch = torch.ones(4000, 2, 2, 3)
    assert torch.equal(drop_path(branch), branch)
    drop_path.train()
    torch.manual_seed(0)
    dropped = drop_path(branch)
    per_image = dropped.flatten(1)
    assert (per_image == per_image[:, :1]).all()
    assert sorted(set(per_image[:, 0].tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert dropped.mean() == pytest.approx(1.0, abs=0.03)


def test_drop_path_grows_from_none_to_the_rate_asked_for():
    model = make(SMALL, drop_path_rate=0.3)
    rates = [block.drop_path.drop_prob for block in model.all_blocks()]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_dropout_acts_while_training_only():
    model = make(SMALL, drop_rate=0.5, attn_drop_rate=0.5, drop_path_rate=0.0)
    assert torch.equal(model(images(16, 16)), model(images(16, 16)))
    model.train()
    assert not torch.equal(model(images(16, 16)), model(images(16, 16)))


def test_patch_merging_joins_the_four_tokens_column_before_row():
    merging = PatchMerging(1, norm_last=False)
    merging.norm = torch.nn.Identity()
    torch.nn.init.eye_(merging.reduction.weight)
    merging.reduction = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.eye_(merging.reduction.weight)
    x = torch.arange(1.0, 16.0).view(1, 3, 5, 1)
    joined = merging(x)
    assert joined.shape == (1, 2, 3, 4)
    assert joined[0, 0, 1].tolist() == [3, 8, 4, 9]
    assert joined[0, 1, 2].tolist() == [15, 0, 0, 0]


def test_an_image_that_does_not_divide_into_patches_loses_no_pixel():
    model = make(SMALL)
    one = images(5, 6).requires_grad_()
    model.patch_embed(one).square().sum().backward()
    assert model.patch_embed(one).shape[1:3] == (2, 2)
    assert (one.grad != 0).all()


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("swin_tiny", 28_288_354),
        ("swin_small", 49_606_258),
        ("swin_base", 87_768_224),
        ("swin_large", 196_532_476),
        ("swin_base_384", 87_903_584),
        ("swin_v2_tiny", 28_347_154),
    ],
)
def test_parameters_of_the_published_models(name, millions):
    with torch.device("meta"):
        model = create_model(name)
    assert sum(one.numel() for one in model.parameters()) == millions


def test_every_preset_is_a_model():
    assert len(PRESETS) == 16
    for name, config in PRESETS.items():
        with torch.device("meta"):
            assert create_model(name).config == config


def test_any_field_can_be_overridden():
    model = create_model(
        "swin_tiny", num_classes=0, embed_dim=16, num_heads=(1, 2, 4, 8), padding="attend"
    )
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 128)
    assert model.layers[0].blocks[0].grid(torch.zeros(1, 8, 8, 16)).padding == ("attend",) * 2


def test_v2_bias_lies_between_0_and_16():
    bias = make(VERSIONS[1]).layers[0].blocks[0].attn.relative_position_bias()
    assert ((bias > 0) & (bias < 16)).all()
    assert bias.unique().numel() > 20


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: SwinConfig(version=3), ValueError, "version must be 1 or 2, got 3"),
        (lambda: SwinConfig(depths=(2, 2)), ValueError, "one entry per stage"),
        (
            lambda: SwinConfig(window_sizes=(7, 7)),
            ValueError,
            r"window_sizes \(7, 7\) must have one",
        ),
        (lambda: SwinConfig(pretrained_window_sizes=(8,) * 4), ValueError, "belongs to version 2"),
        (lambda: SwinConfig(init_std=0), ValueError, "init_std must be positive, or None, got 0"),
        (lambda: SwinConfig(drop_path_rate=1.0), ValueError, r"drop_path_rate .* \[0, 1\)"),
        (lambda: SwinConfig(padding="zero"), ValueError, "padding must be"),
        (lambda: SwinConfig(backend="fast"), ValueError, "backend must be one of"),
        (lambda: create_model("swin_huge"), ValueError, "no model 'swin_huge': .* swin_tiny"),
        (lambda: create_model("swin_tiny", depth=3), TypeError, r"no field \['depth'\]"),
        (lambda: make(SMALL)(torch.zeros(3, 8, 8)), ValueError, r"\(3, 8, 8\): .* images\[None\]"),
        (lambda: make(SMALL)(torch.zeros(1, 3, 0, 8)), ValueError, r"of shape .*\(1, 3, 0, 8\)"),
        (lambda: make(SMALL)(torch.zeros(1, 1, 8, 8)), ValueError, r"\(b, 3, height, width\)"),
        (lambda: PatchEmbed(2, 3, 8)(torch.zeros(3, 8, 8)), ValueError, r"images\[None\]"),
        (lambda: SwinConfig(embed_dim=10), ValueError, r"num_heads \(3, .* \(10, .* embed_dim 10"),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
