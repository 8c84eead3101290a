import pytest
import torch

from lit_intriguing.figures.captions import class_captions

COLUMNS = {
    "labels": torch.tensor([0, 1, 2, 0]),
    "targets": torch.tensor([2, 2, -1, 1]),
    "predictions": torch.tensor([0, 0, 2, 0]),
    "adversarial_predictions": torch.tensor([2, 2, 2, 2]),
    "success": torch.tensor([True, True, False, False]),
}


def test_captions_hold_label_other_prediction_and_missed_target() -> None:
    clean, adversarial = class_captions(COLUMNS)
    assert clean == ["0", "1, predicted 0", "2", "0"]
    assert adversarial == ["2", "2", "2, failed", "2, not 1"]


def test_classes_have_their_names() -> None:
    clean, adversarial = class_captions(COLUMNS, ["cat", "dog", "ostrich"])
    assert clean == ["cat", "dog, predicted cat", "ostrich", "cat"]
    assert adversarial == ["ostrich", "ostrich", "ostrich, failed", "ostrich, not dog"]


def test_too_few_names_are_an_error() -> None:
    with pytest.raises(IndexError):
        class_captions(COLUMNS, ["cat", "dog"])
