"""Evaluation: rows are the truth, every image counts once, the surest mistake comes first."""

import contextlib

import pytest
import torch
from torch import nn

from swin_tutorial.training.evaluation import Evaluation, evaluate, worst_mistakes


class FirstPixels(nn.Module):
    """Says what stands in the first pixels of an image: the scores."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        assert not self.training
        return self.scale * images[:, 0, 0, :3]


SCORES = [[9, 0, 0], [0, 5, 0], [0, 8, 0], [0, 0, 7], [6, 0, 0]]
LABELS = [0, 2, 2, 2, 1]


def batches():
    images = torch.zeros(5, 1, 2, 4)
    images[:, 0, 0, :3] = torch.tensor(SCORES)
    labels = torch.tensor(LABELS)
    return [(images[:2], labels[:2]), (images[2:], labels[2:])]


def test_confusion_has_the_truth_in_its_rows():
    model = FirstPixels()
    found = evaluate(model, batches(), 4)
    expected = [[1, 0, 0, 0], [1, 0, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]]
    assert found.confusion.tolist() == expected
    assert found.accuracy == 2 / 5
    assert found.class_accuracies == pytest.approx([1, 0, 1 / 3, 0])
    scores, labels = torch.tensor(SCORES).float(), torch.tensor(LABELS)
    assert found.loss == pytest.approx(nn.functional.cross_entropy(scores, labels).item())
    assert model.training


def test_the_surest_mistakes_come_first():
    found = worst_mistakes(FirstPixels(), batches(), count=2)
    assert found["predicted"].tolist() == [1, 0]
    assert found["truth"].tolist() == [2, 1]
    assert found["images"][0, 0, 0].tolist() == [0, 8, 0, 0]
    confidence = torch.tensor([[0.0, 8, 0], [6, 0, 0]]).softmax(1).amax(1)
    torch.testing.assert_close(found["confidence"], confidence)


def test_accuracy_of_a_million_images_is_exact():
    confusion = torch.tensor([[33_333_333, 1], [0, 66_666_666]])
    assert Evaluation(confusion, 0.0).accuracy == 99_999_999 / 100_000_000


class Broken(FirstPixels):
    def forward(self, images):
        raise KeyError("in the middle")


@pytest.mark.parametrize("kind", [FirstPixels, Broken])
@pytest.mark.parametrize("look", [lambda *args: evaluate(*args, 4), worst_mistakes])
@pytest.mark.parametrize("training", [(True, True), (False, False), (True, False), (False, True)])
def test_a_model_is_looked_at_and_not_changed(kind, look, training):
    model = nn.Sequential(kind(), nn.Dropout())
    for module, mode in zip(model, training, strict=True):
        module.training = mode
    model[0].scale.requires_grad_(False)
    before = [module.training for module in model.modules()]
    context = pytest.raises(KeyError) if kind is Broken else contextlib.nullcontext()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with context:
        look(model, batches())
    assert [module.training for module in model.modules()] == before
    assert not model[0].scale.requires_grad
    assert torch.is_grad_enabled()
    assert torch.equal(torch.rand(3), expected)


def test_a_model_of_more_classes_is_refused():
    with pytest.raises(ValueError, match="the model has 3 outputs, which is more than 2 classes"):
        evaluate(FirstPixels(), batches(), 2)
