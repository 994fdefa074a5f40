"""Equal to timm, torchvision and transformers, in output, parameters and cost.

Weights are random (hubs are out of reach) and go through files both ways, as users have them.
"""

import peers
import pytest
import torch

from swin_tutorial.attention import WindowAttention
from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinTransformerBlock
from swin_tutorial.weights import load_weights

TOLERANCE = 1e-5  # of logits of the order of 1, in float32


@pytest.fixture(autouse=True, scope="module")
def _forget_the_model():
    yield
    peers.our_model.cache_clear()


@pytest.mark.parametrize(
    ("preset", "library"),
    [
        *((preset, library) for preset in ("swin_tiny", "swin_v2_tiny") for library in peers.PEERS),
        ("swin_v2_tiny_window16", "timm"),
    ],
)
def test_logits_are_the_peers_at_the_native_size(preset, library):
    pytest.importorskip(library)
    images = peers.images_for(preset)
    there, back = peers.parity(library, preset, images)
    assert there <= TOLERANCE
    assert back <= TOLERANCE
    # The weights make a difference: logits spread, and depend on the image.
    out = peers.logits(peers.our_model(preset), images)
    assert out.std() > 0.5
    assert (out[0] - out[1]).std() > 0.05


@pytest.mark.parametrize("preset", ["swin_tiny", "swin_v2_tiny"])
def test_logits_are_torchvisions_at_other_sizes(preset, tmp_path):
    pytest.importorskip("torchvision")
    ours = peers.randomize(peers.our_model(preset), seed=3)
    theirs = peers.to_peer(ours, "torchvision", preset, tmp_path)
    # A last map smaller than a window, one that divides nowhere, one that is not square.
    for height, width in ((112, 112), (300, 180), (224, 288)):
        images = peers.images_for(preset, height, width)
        assert peers.difference(ours, theirs, images) <= TOLERANCE, (height, width)


def test_the_names_that_transformers_has_in_memory_load_too(tmp_path):
    pytest.importorskip("transformers")
    theirs = peers.randomize(peers.peer("transformers", "swin_tiny"), seed=4)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = peers.randomize(peers.our_model("swin_tiny"), seed=5)
    assert load_weights(ours, tmp_path / "weights.pth").layout == "transformers"
    assert peers.difference(ours, theirs, peers.images_for("swin_tiny")) <= TOLERANCE


# Video.

WINDOW, SHIFT, DIM, HEADS = (2, 3, 4), (1, 1, 2), 8, 2


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "window", "shift"),
    [
        ((4, 6, 8), WINDOW, SHIFT),
        ((5, 7, 9), WINDOW, SHIFT),  # padded on every axis
        ((4, 3, 9), WINDOW, SHIFT),  # one window spans an axis, which is not shifted
        ((5, 7, 9), WINDOW, (0, 1, 0)),
        ((5, 7, 9), WINDOW, (0, 0, 0)),
    ],
)
def test_attention_on_three_axes_is_torchvisions(size, window, shift):
    video = pytest.importorskip("torchvision.models.video.swin_transformer")
    theirs = video.ShiftedWindowAttention3d(DIM, list(window), list(shift), HEADS)
    peers.randomize(theirs, seed=1)
    ours = WindowAttention(DIM, window, HEADS)
    ours.load_state_dict(without_index(theirs.state_dict()))
    x = torch.randn(2, *size, DIM)
    out = ours.attend(x, WindowGrid(size, window, shift, padding="attend"))
    torch.testing.assert_close(out, theirs(x), rtol=0, atol=TOLERANCE)
    # The shift and the bias make a difference.
    unshifted = ours.attend(x, WindowGrid(size, window, padding="attend"))
    assert ((out - unshifted).abs().max() > 0.1) == any(shift)
    ours.relative_position_bias_table.zero_()
    unbiased = ours.attend(x, WindowGrid(size, window, shift, padding="attend"))
    assert (out - unbiased).abs().max() > 0.1


@torch.no_grad()
def test_attention_on_a_video_shorter_than_a_window_is_torchvisions():
    """torchvision shrinks the window to the video; ours is made that small, with the same bias."""
    video = pytest.importorskip("torchvision.models.video.swin_transformer")
    theirs = peers.randomize(video.ShiftedWindowAttention3d(DIM, [4, 3, 4], [2, 1, 2], HEADS), 1)
    ours = WindowAttention(DIM, (2, 3, 4), HEADS)
    state = without_index(theirs.state_dict())
    of_four_frames = state["relative_position_bias_table"].view(7, -1, HEADS)
    state["relative_position_bias_table"] = of_four_frames[2:5].reshape(-1, HEADS)
    ours.load_state_dict(state)
    x = torch.randn(2, 2, 7, 9, DIM)
    out = ours.attend(x, WindowGrid((2, 7, 9), (2, 3, 4), (1, 1, 2), padding="attend"))
    torch.testing.assert_close(out, theirs(x), rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_our_blocks_in_torchvisions_video_model_give_its_logits():
    video = pytest.importorskip("torchvision.models.video.swin_transformer")
    model = video.SwinTransformer3d([2, 4, 4], DIM, [2, 2], [2, 4], list(WINDOW), num_classes=5)
    peers.randomize(model, seed=2)
    clip = torch.randn(2, 3, 7, 45, 70)
    expected = model(clip)
    for stage, dim, heads in ((0, DIM, 2), (2, 2 * DIM, 4)):
        for i, theirs in enumerate(model.features[stage]):
            shift = theirs.attn.shift_size
            assert shift == ([0, 0, 0] if i == 0 else [1, 1, 2])
            ours = SwinTransformerBlock(dim, heads, WINDOW, tuple(shift), padding="attend").eval()
            state = without_index(theirs.state_dict())
            state = {
                name.replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2."): tensor
                for name, tensor in state.items()
            }
            ours.load_state_dict(state)
            model.features[stage][i] = ours
    torch.testing.assert_close(model(clip), expected, rtol=0, atol=TOLERANCE)
    assert expected.std() > 0.3


def without_index(state):
    return {name: tensor for name, tensor in state.items() if "position_index" not in name}


# Size and cost.


@pytest.mark.parametrize("preset", peers.PARAMETERS)
def test_parameters_are_as_many_as_published(preset):
    assert peers.parameters(preset) == peers.PARAMETERS[preset]


@pytest.mark.parametrize("preset", peers.MULTIPLY_ADDS)
def test_multiply_adds_are_as_published(preset):
    """Counted as ``peers.multiply_adds`` explains, they agree ten times closer than 1 %."""
    assert peers.multiply_adds(preset) == pytest.approx(peers.MULTIPLY_ADDS[preset], rel=1e-3)
