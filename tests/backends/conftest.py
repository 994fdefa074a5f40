"""Memory that a backend forgets to write must show."""

import pytest
import torch


@pytest.fixture(autouse=True)
def poison():
    """Fill all memory that is allocated and not written with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assert torch.empty(3, device=device).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)
