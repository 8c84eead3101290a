"""A bit that flips in a file of ours gives no other values unnoticed; the long run is a script."""

import random
import zipfile
from pathlib import Path

import pytest
from lightning.pytorch import Callback, Trainer

from lit_intriguing import callbacks as ours
from lit_intriguing.attacks import GradientAttack
from lit_intriguing.data import Digits
from lit_intriguing.errors import DamagedFileError
from lit_intriguing.models import Classifier
from lit_intriguing.splits import locks
from tests.faults.bit_flips import ARTEFACTS, flip, write_checkpoint


@pytest.mark.parametrize("name", ARTEFACTS)
def test_no_flipped_bit_gives_other_values(name: str, tmp_path: Path) -> None:
    artefact = ARTEFACTS[name](tmp_path / "made")
    found = flip(artefact, 40, random.Random(1))
    locks.release_all()
    assert found["other"] == 0
    assert found["noticed"] > 10


CALLBACKS = {
    "AdversarialTraining": lambda: ours.AdversarialTraining(
        {"": ours.PerturbedLayer(GradientAttack(0.3))}
    ),
    "Convergence": ours.Convergence,
    "ExactResume": ours.ExactResume,
    "LipschitzPenalty": lambda: ours.LipschitzPenalty(0.1),
    "MovingAverage": ours.MovingAverage,
    "SparseFilters": lambda: ours.SparseFilters(0.1, 0.4),
    "LipschitzMonitor": ours.LipschitzMonitor,
}


@pytest.mark.parametrize("callback", [make() for make in CALLBACKS.values()], ids=list(CALLBACKS))
def test_a_fit_with_any_callback_that_has_a_state_refuses_a_damaged_checkpoint(
    callback: Callback, tmp_path: Path
) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        weight = max(archive.infolist(), key=lambda info: info.file_size)
        content[content.index(archive.read(weight)) + 7] ^= 1
    path.write_bytes(content)
    trainer = Trainer(
        max_steps=6, accelerator="cpu", logger=False, callbacks=[callback],
        enable_progress_bar=False, enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(DamagedFileError, match=r"last\.ckpt is damaged .*an earlier checkpoint"):
        trainer.fit(Classifier([64, 12, 10]), datamodule=Digits(), ckpt_path=path)
