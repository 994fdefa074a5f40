"""Intervals: Student's, the bootstrap, and what a comparison could have found."""

import math

import pytest
import torch

from swin_tutorial.training.intervals import (
    T_800,
    T_975,
    bootstrap_interval,
    detectable_difference,
    mean_and_interval,
)


def test_the_interval_of_three_runs_is_students():
    mean, half = mean_and_interval([0.90, 0.92, 0.94])
    assert mean == pytest.approx(0.92)
    assert half == pytest.approx(4.303 * 0.02 / math.sqrt(3))


@pytest.mark.parametrize("count", [0, 1, 11])
def test_a_number_of_values_that_is_not_in_the_table_is_refused(count):
    for function in (mean_and_interval, detectable_difference):
        with pytest.raises(ValueError, match=f"needs 2 to 10 values, got {count}"):
            function([0.9] * count)


def test_the_quantiles_are_students():
    """Drawn, not looked up: a normal number over the spread of n others is Student's."""
    generator = torch.Generator().manual_seed(0)
    for n in (2, 5, 10):
        values = torch.randn(400_000, n, generator=generator, dtype=torch.float64)
        t = values.mean(1) / values.std(1) * math.sqrt(n)
        for table, quantile in ((T_975, 0.975), (T_800, 0.8)):
            assert (t < table[n]).double().mean() == pytest.approx(quantile, abs=0.002)


def test_a_comparison_finds_its_detectable_difference_in_four_of_five_cases():
    generator = torch.Generator().manual_seed(1)
    true, spread, pairs = 1.0, 1.0, 10
    factor = (T_975[pairs] + T_800[pairs]) / math.sqrt(pairs)
    runs = true + spread / factor * torch.randn(20_000, pairs, generator=generator)
    found = runs.mean(1) > T_975[pairs] * runs.std(1) / math.sqrt(pairs)
    assert found.double().mean() == pytest.approx(0.8, abs=0.02)
    differences = [1.0, 2.0, 4.0]
    error = torch.tensor(differences).std().item() / math.sqrt(3)
    assert detectable_difference(differences) == pytest.approx((4.303 + 1.061) * error)


def test_the_bootstrap_interval_of_a_share_is_the_binomial_one():
    right = torch.arange(2500) < 2250
    low, high = bootstrap_interval(right.double(), samples=4000)
    half = 1.96 * math.sqrt(0.9 * 0.1 / 2500)
    assert low == pytest.approx(0.9 - half, abs=0.001)
    assert high == pytest.approx(0.9 + half, abs=0.001)
    assert bootstrap_interval(right.double(), samples=100) == bootstrap_interval(
        right.double(), samples=100
    )
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval(torch.zeros(0))
