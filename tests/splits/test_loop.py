"""What one process does for all."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from lit_intriguing.errors import UserError
from lit_intriguing.splits.loop import on_rank_zero


class Noted(SingleDeviceStrategy):
    """Keeps what it tells other processes."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.told: list[Any] = []

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        self.told.append(obj)
        return obj


@pytest.mark.parametrize("error", [UserError("no"), OSError("no space left on device")])
def test_other_processes_learn_of_any_error_of_the_first(error: Exception) -> None:
    def fails() -> None:
        raise error

    strategy = Noted()
    trainer = Trainer(
        accelerator="cpu", strategy=strategy, logger=False, enable_checkpointing=False
    )
    with pytest.raises(type(error), match=str(error)):
        on_rank_zero(trainer, fails)
    assert strategy.told == [True]
