"""Whatever happens while a model is looked at, each of its modules is left as it was."""

import pytest
from small_model import model

from swin_tutorial.modes import evaluation_mode


def test_each_module_goes_back_to_its_own_mode():
    one = model().train()
    one.layers[1].eval()  # frozen by its owner
    one.layers[1].blocks[0].mlp.train()  # all but this
    before = {name: module.training for name, module in one.named_modules()}
    assert len(set(before.values())) == 2
    with evaluation_mode(one):
        assert not any(module.training for module in one.modules())
    assert {name: module.training for name, module in one.named_modules()} == before
    with pytest.raises(KeyError), evaluation_mode(one):
        raise KeyError
    assert {name: module.training for name, module in one.named_modules()} == before
