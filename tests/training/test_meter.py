"""The meter: means since the last log, sums that survive a checkpoint, a clock for each part."""

import time

import pytest
import torch

from swin_tutorial.training.meter import Meter


def test_means_are_of_the_steps_since_the_last_ones():
    meter = Meter(torch.device("cpu"))
    for loss, norm in ((1.0, 10.0), (2.0, 40.0)):
        meter.add(torch.tensor([loss, norm]))
    assert meter.pop_means() == {"loss": 1.5, "grad_norm": 25.0}
    meter.add(torch.tensor([7.0, 8.0]))
    assert meter.pop_means() == {"loss": 7.0, "grad_norm": 8.0}


@pytest.mark.parametrize("bad", [(float("nan"), 1.0), (1.0, float("inf"))])
def test_one_bad_step_is_noticed(bad):
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor([1.0, 2.0]))
    assert meter.is_finite()
    meter.add(torch.tensor(bad))
    assert not meter.is_finite()


def test_seconds_go_to_what_they_were_spent_on(monkeypatch):
    clock = iter([100.0, 103.0, 110.0, 111.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    meter = Meter(torch.device("cpu"))
    for what in ("training", "evaluation", "training"):
        meter.split_time(what)
    assert meter.seconds == {"training": 4.0, "evaluation": 7.0}


def test_another_meter_goes_on_where_one_was_saved(monkeypatch):
    clock = iter([0.0, 5.0, 1000.0, 2000.0, 2001.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor([1.0, 2.0]))
    meter.split_time("training")
    other = Meter(torch.device("cpu"))
    other.load_state_dict(meter.state_dict())
    other.split_time("training")
    other.add(torch.tensor([2.0, 6.0]))
    assert other.seconds["training"] == 6.0
    assert other.pop_means() == {"loss": 1.5, "grad_norm": 4.0}
    assert meter.pop_means() == {"loss": 1.0, "grad_norm": 2.0}  # they share nothing
