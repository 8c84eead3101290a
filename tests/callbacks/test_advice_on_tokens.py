"""What callbacks say of token ids: who says it, and what can be done, which then works."""

import re
from pathlib import Path
from typing import Any

import pytest

from lit_intriguing.callbacks import AdversarialExamples, TransferEvaluation
from lit_intriguing.errors import UserError
from tests.callbacks.test_unit_analysis_rows import Worded, fit, loader, texts

pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


@pytest.mark.parametrize("options", [{}, {"inputs": "ids"}])
def test_transfer_names_itself_and_the_callback_that_attacks_a_layer(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    data = [{**text, "mask": text["mask"].long()} for text in texts()]

    def callback() -> TransferEvaluation:
        return TransferEvaluation(references={"other": Worded()}, examples=8, **options)

    with pytest.raises(UserError, match="TransferEvaluation: ") as told:
        fit(tmp_path, Worded(), loader(data), callback())
    advised = re.search(r"AdversarialExamples\(layer=('embedding'|<name>)\)", str(told.value))
    assert advised
    instead = AdversarialExamples(layer="embedding", examples=8, dirpath=tmp_path)
    trainer = fit(tmp_path, Worded(), loader(data), instead)
    assert any(name.startswith("examples/embedding/") for name in trainer.callback_metrics)
