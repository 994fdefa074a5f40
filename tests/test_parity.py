"""Equal to timm, torchvision and transformers, in output, parameters and cost.

Weights are random (hubs are out of reach) and go through files both ways, as users have them.
"""

import peers
import pytest
import torch

from swin_tutorial.benchmark import one_thread
from swin_tutorial.checkpoints import load_weights

TOLERANCE = 1e-5  # of logits of the order of 1, in float32


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """On a busy machine PyTorch's threads mostly wait for each other."""
    with one_thread():
        yield
    peers.our_model.cache_clear()


@pytest.mark.parametrize("library", peers.PEERS)
@pytest.mark.parametrize(
    "preset", ["swin_tiny", "swin_small", "swin_v2_tiny", "swin_v2_tiny_window16"]
)
def test_logits_are_the_peers_at_the_native_size(preset, library):
    pytest.importorskip(library)
    if not peers.has(library, preset):
        pytest.skip(f"{library} has no {preset}")
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
    ours = peers.randomise(peers.our_model(preset), seed=3)
    theirs = peers.to_peer(ours, "torchvision", preset, tmp_path)
    found = {}
    for height, width in ((112, 112), (200, 200), (256, 256), (300, 180), (224, 448)):
        images = peers.images_for(preset, height, width)
        found[height, width] = peers.difference(ours, theirs, images)
    assert max(found.values()) <= TOLERANCE, found


def test_the_names_that_transformers_has_in_memory_load_too(tmp_path):
    pytest.importorskip("transformers")
    theirs = peers.randomise(peers.peer("transformers", "swin_tiny"), seed=4)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = peers.randomise(peers.our_model("swin_tiny"), seed=5)
    assert load_weights(ours, tmp_path / "weights.pth").layout == "transformers"
    assert peers.difference(ours, theirs, peers.images_for("swin_tiny")) <= TOLERANCE


@pytest.mark.parametrize("preset", peers.PARAMETERS)
def test_parameters_are_as_many_as_published(preset):
    assert peers.parameters(preset) == peers.PARAMETERS[preset]


@pytest.mark.parametrize("preset", peers.MULTIPLY_ADDS)
def test_multiply_adds_are_as_published(preset):
    """Counted as ``peers.multiply_adds`` explains, they agree ten times closer than 1 %."""
    assert peers.multiply_adds(preset) == pytest.approx(peers.MULTIPLY_ADDS[preset], rel=1e-3)
