"""The end of a run: paths that exist, and commands that work as they stand."""

import logging
import re
import shlex
import warnings
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lit_intriguing import cli
from lit_intriguing.cli.closing_words import closing_words
from lit_intriguing.cli.quiet import silence_adverts
from tests.tiny import Tiny

WORDS = [
    "--config=configs/digits.yaml", "--config=callbacks/adversarial_examples",
    "--config=model.yaml", "--trainer.accelerator=cpu",
    "--trainer.enable_model_summary=false", "--trainer.enable_progress_bar=false",
    "--set", "model.widths=[64, 10]",
]  # fmt: skip
MODEL = """
trainer: {max_epochs: 1}
model: {class_path: lit_intriguing.models.Classifier, init_args: {widths: [64, 12, 10]}}
"""


def ending(out: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in re.findall(r"^(weights|metrics|pictures|next) +(.*)$", out, re.MULTILINE):
        found.setdefault(name, []).append(text)
    return found


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_a_run_ends_with_paths_that_exist_and_commands_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.yaml").write_text(MODEL)
    cli.main(["fit", *WORDS])
    out = capsys.readouterr().out
    found = ending(out)
    (weights,), (metrics,), pictures = found["weights"], found["metrics"], found["pictures"]
    assert Path(weights).is_file()
    assert Path(metrics).is_file()
    assert all(list(Path(folder).glob("*.png")) for folder in pictures)
    commands = [shlex.split(one)[1:] for one in found["next"]]
    assert [words[0] for words in commands] == ["test", "attack", "lipschitz"]
    (before,) = re.findall(r"^test error .*$", out, re.MULTILINE)
    cli.main(commands[0])
    assert before in capsys.readouterr().out
    cli.main(commands[2])
    assert "network, product bound" in capsys.readouterr().out


def test_what_belongs_to_the_training_alone_is_not_in_the_next_commands(tmp_path: Path) -> None:
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    model = Tiny()
    trainer.fit(model)
    words = ["fit", "--model=tests.tiny.Tiny", "--ckpt_path", "old.ckpt", "--test_after_fit=false"]
    text = closing_words(trainer, model, None, words)
    (weights,) = ending(text)["weights"]
    assert ending(text)["next"] == [f"lightning test --model=tests.tiny.Tiny --ckpt_path {weights}"]


def test_without_a_checkpoint_there_is_no_next_command(tmp_path: Path) -> None:
    trainer = Trainer(
        fast_dev_run=True, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False
    )
    model = Tiny()
    trainer.fit(model)
    assert ending(closing_words(trainer, model, None, ["fit"])).get("next") is None


def test_adverts_are_dropped_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence_adverts()
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use x", FutureWarning, 2)
        warnings.warn("something else is deprecated", FutureWarning, 2)
    assert [str(one.message) for one in caught] == ["something else is deprecated"]
    seen: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    # Where both packages are imported, one speaks through the other's.
    logs = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning")]
    handler = Kept()
    for log in logs:
        log.addHandler(handler)
    try:
        silence_adverts()
        rank_zero_info("\N{ELECTRIC LIGHT BULB} Tip: For seamless cloud logging ...")
        rank_zero_info("GPU available: False")
    finally:
        for log in logs:
            log.removeHandler(handler)
    assert seen == ["GPU available: False"]
