"""What a few runs can show, and what they cannot (chapters 07 and 08).

Two recipes are compared seed by seed.  Runs with the same seed start from the same weights and see
the same batches, so a pair shares some of its luck, and the difference loses it.
"""

import math
import statistics
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# Quantiles of Student's t by the number of values n, with n - 1 degrees of freedom: 97.5 % for a
# two-sided 95 % interval, and 80 % for what a comparison would find in four of five cases.
T_975 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
T_800 = {2: 1.376, 3: 1.061, 4: 0.978, 5: 0.941, 6: 0.920, 7: 0.906, 8: 0.896, 9: 0.889, 10: 0.883}


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a mean, and half the width of its 95 % confidence interval (Student's t).

    Raises ValueError for fewer than 2 or more than 10 values.
    """
    quantile = _quantile(T_975, values)
    return statistics.mean(values), quantile * _standard_error(values)


def detectable_difference(differences: Sequence[float]) -> float:
    """Return the smallest true difference that as many pairs would probably have shown.

    That is the mean difference whose 95 % interval leaves out 0 in about four of five repetitions,
    if pairs differ among themselves as much as these do: (t_97.5 + t_80) standard errors.  With
    fewer than five pairs it is a little less often.

    Raises ValueError for fewer than 2 or more than 10 differences.
    """
    factor = _quantile(T_975, differences) + _quantile(T_800, differences)
    return factor * _standard_error(differences)


def bootstrap_interval(
    values: Float[Tensor, "n"], samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a value per image: would other images give another?

    Draws the n images again, with replacement, ``samples`` times, and returns the 2.5 % and the
    97.5 % quantile of the means.  Source: Efron (1979).

    Raises ValueError for no values.
    """
    if not len(values):
        raise ValueError("there are no values to draw from")
    generator = torch.Generator().manual_seed(seed)
    means = torch.stack(
        [
            values[torch.randint(len(values), (len(values),), generator=generator)].mean()
            for _ in range(samples)
        ]
    )
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=means.dtype)).tolist()
    return low, high


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def _quantile(table: dict[int, float], values: Sequence[float]) -> float:
    if len(values) not in table:
        raise ValueError(f"an interval needs 2 to 10 values, got {len(values)}")
    return table[len(values)]
