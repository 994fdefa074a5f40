"""What all benchmarks share: turns, the machine, the peers' import, the peak of memory, floors."""

import importlib
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from swin_tutorial.bench import peers, swin_tiny, timing
from swin_tutorial.bench.memory import peak_bytes
from swin_tutorial.presets import create_model

CPU = torch.device("cpu")


def test_paired_medians_takes_turns_of_a_warm_up_and_a_timed_call():
    calls = []
    medians = timing.paired_medians(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2
    )
    assert calls == ["a", "a", "b", "b"] * 2
    assert medians.keys() == {"a", "b"}
    assert all(seconds > 0 for seconds in medians.values())


def test_paired_medians_gives_the_median_of_the_clock():
    readings = iter([1.0, 10.0, 2.0, 30.0, 9.0, 20.0])
    runs = {"a": lambda: None, "b": lambda: None}
    medians = timing.paired_medians(runs, 3, clock=lambda run: next(readings))
    assert medians == {"a": 2.0, "b": 20.0}


def test_one_thread_is_for_the_block_alone():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="inside"), timing.one_thread():  # noqa: PT012
        assert torch.get_num_threads() == 1
        raise RuntimeError("inside")
    assert torch.get_num_threads() == before


def test_a_machine_is_named_by_its_processor(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC: 9004\ncpu MHz\t\t: 1\n")
    assert timing.processor(cpuinfo) == "AMD EPYC: 9004"
    assert timing.processor(tmp_path / "missing")
    on = timing.machine()
    assert on.keys() == {"device", "processor", "cores", "threads", "torch", "python"}
    assert on["device"] == "cpu"
    assert on["threads"] == torch.get_num_threads()


# --- the public implementations ---


@pytest.fixture
def torchvision_from(tmp_path, monkeypatch):
    """Replace torchvision by a module with given lines, for the time of a test."""
    names = [name for name in sys.modules if name.split(".")[0] == "torchvision"]
    kept = {name: sys.modules.pop(name) for name in names}

    def write(descriptions):
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text("from torchvision import _meta_registrations, models")
        (package / "_meta_registrations.py").write_text(descriptions)
        (package / "models.py").write_text("swin_t = 1")
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(tmp_path)
    peers.make_torchvision_importable.cache_clear()
    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(kept)
    peers.make_torchvision_importable.cache_clear()


def test_a_healthy_torchvision_is_left_as_it_is(torchvision_from):
    torchvision_from("its_own = True")
    assert peers.import_peer("torchvision.models").swin_t == 1
    assert sys.modules["torchvision._meta_registrations"].its_own


def test_missing_operators_of_torchvision_get_a_stand_in(torchvision_from):
    torchvision_from("raise RuntimeError('operator torchvision::nms does not exist')")
    assert peers.import_peer("torchvision.models").swin_t == 1


def test_another_error_in_torchvision_is_not_hidden(torchvision_from):
    torchvision_from("raise RuntimeError('out of memory')")
    with pytest.raises(RuntimeError, match="out of memory"):
        peers.import_peer("torchvision.models")


def test_a_peer_that_is_not_installed_is_left_out_by_name(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "timm" not in peers.swin_tiny_builders()
    assert "timm is not installed and left out" in capsys.readouterr().out


# --- memory and arithmetic ---


@pytest.mark.skipif(peak_bytes(lambda: None, CPU) is None, reason="no such count on this system")
def test_the_peak_of_memory_is_what_a_run_takes_and_not_what_was_there_before():
    size = 48 * 2**20

    def hold(parts):
        return [torch.ones(size // parts, dtype=torch.uint8) for _ in range(parts)]

    before = torch.ones(2 * size, dtype=torch.uint8)
    # Freed, but for some in between: the C library keeps the holes.
    kept = hold(1000)[::50]
    for parts in (1, 1000):
        assert 0.95 * size < peak_bytes(lambda parts=parts: hold(parts), CPU) < 1.3 * size
    assert peak_bytes(lambda: before.fill_(2), CPU) < 0.2 * size
    assert len(kept) == 20


@pytest.mark.parametrize("training", [False, True])
def test_the_bare_products_are_all_that_a_model_multiplies(training):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        logits = create_model("swin_tiny", backend="eager")(torch.empty(2, 3, 224, 224))
        if training:
            logits.sum().backward()
    products = swin_tiny.matrix_products(2)
    assert swin_tiny.multiply_adds(products, training) == counter.get_total_flops() // 2

    run = swin_tiny.bare_products(2, device="meta", training=training)
    with FlopCounterMode(display=False) as counter:
        run()
    assert swin_tiny.multiply_adds(products, training) == counter.get_total_flops() // 2
