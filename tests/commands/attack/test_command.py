"""`lightning attack` through the real command line."""

import csv
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from lit_intriguing import cli
from lit_intriguing.attacks import GradientAttack
from lit_intriguing.commands.attack import attack_tensors
from lit_intriguing.data import Digits
from lit_intriguing.models import Classifier
from tests.commands.attack.digits import attack, checkpoint, process, same, words
from tests.commands.attack.others import images

OTHERS = "tests.commands.attack.others"
SLOW = "--attack=tests.commands.attack.slow_attack.SlowAttack"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("digits"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 1) -> str:
    """Runs a command that must end with an error of one line; returns the line."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert stopped.value.code == status
    assert out == ""
    return err.splitlines()[-1]


def test_examples_summary_and_figure_are_written_and_the_numbers_printed(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(weights, "--limit=200")
    out = capsys.readouterr().out
    folder = tmp_path / "attack"
    names = ["examples.png", "examples.pt", "manifest.json", "summary.csv"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert out.endswith("examples.pt, summary.csv, examples.png in attack\n")
    with (folder / "summary.csv").open() as file:
        (row,) = csv.DictReader(file)
    examples = torch.load(folder / "examples.pt", weights_only=True)
    assert len(examples["clean"]) == int(row["images"]) == 200
    assert int(examples["attacked"].sum()) == int(row["attacked"])
    assert float(row["success"]) > 0.5
    assert f"success              {float(row['success']):.2%}\n" in out
    assert "of the input, goal RandomTargets()\nimages               200\n" in out


def test_the_command_gives_what_the_function_gives(weights: Path, tmp_path: Path) -> None:
    attack(weights, "--data.eval_batch_size=37", "--seed=5", "--layer=hidden1", "--attack.eps=3")
    found = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    data = Digits()
    data.setup("test")
    loader = data.test_dataloader()
    model = Classifier(widths=(64, 16, 10))
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    expected = attack_tensors(
        model, GradientAttack(eps=3.0, steps=5), loader.inputs, loader.labels,
        layer="hidden1", seed=5, chunk=64,
    )  # fmt: skip
    assert found.keys() == expected.columns().keys()
    for name, column in expected.columns().items():
        assert torch.equal(found[name], column), name
    assert found["clean"].shape == (360, 16)


@pytest.mark.integration
@pytest.mark.parametrize(("split", "count"), [("train", 1337), ("validation", 100)])
def test_other_splits_are_attacked_in_their_own_order(
    split: str, count: int, weights: Path, tmp_path: Path
) -> None:
    attack(weights, "--data.validation=100", f"--split={split}", "--data.batch_size=50")
    found = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    data = Digits(validation=100)
    training, held_out = data.load_training()
    expected = training if split == "train" else held_out
    assert len(found["clean"]) == count
    assert torch.equal(found["clean"], expected.inputs)
    assert torch.equal(found["labels"], expected.labels)


def test_the_other_format_holds_the_same(weights: Path, tmp_path: Path) -> None:
    attack(weights, "--limit=70", "--output=one")
    attack(weights, "--limit=70", "--output=two", "--format=npz")
    tensors = torch.load(tmp_path / "one" / "examples.pt", weights_only=True)
    with np.load(tmp_path / "two" / "examples.npz") as arrays:
        assert set(arrays) == set(tensors)
        assert all(np.array_equal(arrays[name], tensors[name].numpy()) for name in tensors)


def test_run_again_a_finished_attack_says_its_numbers_and_attacks_nothing(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--limit=70", SLOW]
    attack(weights, *arguments, "--attack.seconds=0")
    first = capsys.readouterr().out
    written = (tmp_path / "attack" / "examples.pt").stat().st_mtime_ns
    attack(weights, *arguments, "--attack.seconds=1000")
    assert capsys.readouterr().out == first
    assert (tmp_path / "attack" / "examples.pt").stat().st_mtime_ns == written


def test_pictures_read_back_from_their_files_give_the_target(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(weights, "--limit=40", "--attack=BoxLBFGS", "--survives=8", "--png=true")
    assert "adversarial images in attack/adversarial\n" in capsys.readouterr().out
    examples = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    files = sorted((tmp_path / "attack" / "adversarial").iterdir())
    rows = [int(path.stem) for path in files]
    assert rows == examples["success"].nonzero()[:, 0].tolist()
    assert len(rows) == int(examples["attacked"].sum()) > 10
    read = torch.stack([pil_to_tensor(Image.open(path)) for path in files]).float() / 255
    assert torch.equal(read, examples["adversarial"][rows])
    model = Classifier(widths=(64, 16, 10)).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    assert torch.equal(model(read).argmax(1), examples["targets"][rows])


def test_a_finished_attack_is_drawn_again_with_other_pictures_and_not_attacked_again(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, slow = tmp_path / "attack", ["--limit=70", SLOW]
    attack(weights, *slow, "--attack.seconds=0", "--show=0")
    assert capsys.readouterr().out.endswith("examples.pt, summary.csv in attack\n")
    written = (folder / "examples.pt").stat().st_mtime_ns
    again = [*slow, "--attack.seconds=1000"]
    attack(weights, *again, "--show=5")
    assert capsys.readouterr().out.endswith("examples.pt, summary.csv, examples.png in attack\n")
    first = (folder / "examples.png").read_bytes()
    with pytest.warns(UserWarning, match="rounded to 8 bits"):
        attack(weights, *again, "--show=5", "--difference=true", "--png=true")
    assert (folder / "examples.png").read_bytes() != first
    assert any((folder / "adversarial").iterdir())
    assert (folder / "examples.pt").stat().st_mtime_ns == written


def test_pictures_of_a_finished_attack_without_finite_bounds_are_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(weights, "--limit=20", "--bounds={lower: -.inf, upper: .inf}")
    cli.main(arguments)
    capsys.readouterr()
    assert "png needs finite bounds" in refused([*arguments, "--png=true"], capsys)
    assert not (tmp_path / "attack" / "adversarial").exists()


def test_too_few_names_of_classes_lose_nothing_and_the_right_file_goes_on(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("zero\none\n")
    slow = ["--limit=70", SLOW, f"--class_names={names}"]
    line = refused(words(weights, *slow, "--attack.seconds=0"), capsys)
    assert "class_names: 2 names, and there are classes up to 9, counted from 0" in line
    names.write_text("\n".join(f"digit {number}" for number in range(10)))
    attack(weights, *slow, "--attack.seconds=1000")
    assert (tmp_path / "attack" / "examples.png").is_file()


def test_one_class_is_the_target_of_all_others(weights: Path, tmp_path: Path) -> None:
    attack(weights, "--limit=40", "--goal=TargetClass", "--goal.label=3", "--only_correct=false")
    examples = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    there = (examples["labels"] == 3) | (examples["predictions"] == 3)
    assert torch.equal(examples["attacked"], ~there)
    assert examples["adversarial_predictions"][examples["success"]].unique().tolist() == [3]


def chunks_of(folder: Path, count: int) -> None:
    """Waits until so many chunks are written."""
    for _ in range(1200):
        if len(list(folder.glob("chunks/*.pt"))) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} chunks within a minute")


@pytest.mark.integration
def test_a_killed_attack_goes_on_after_its_last_chunk(weights: Path, tmp_path: Path) -> None:
    running = process(weights, SLOW, "--attack.seconds=0.5", "--output=killed")
    chunks_of(tmp_path / "killed", 2)
    running.kill()
    running.communicate()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "killed" / "chunks").glob("*.pt")}
    assert 2 <= len(kept) < 6
    poisoned = min(kept)  # a mark in a finished chunk shows that it is not made again
    chunk = torch.load(poisoned, weights_only=True)
    chunk["columns"]["c"][:] = 7.0
    torch.save(chunk, poisoned)
    attack(weights, SLOW, "--attack.seconds=0", "--output=killed")
    attack(weights, SLOW, "--attack.seconds=0", "--output=whole")
    whole, killed = (
        torch.load(tmp_path / name / "examples.pt", weights_only=True)
        for name in ("whole", "killed")
    )
    assert bool((killed.pop("c")[:64] == 7.0).all())
    del whole["c"]
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.integration
def test_ctrl_c_keeps_the_chunks_and_says_how_to_go_on(weights: Path, tmp_path: Path) -> None:
    running = process(weights, SLOW, "--attack.seconds=0.5")
    chunks_of(tmp_path / "attack", 1)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    saved = len(list((tmp_path / "attack" / "chunks").glob("*.pt")))
    start = "finished chunk is saved" if saved == 1 else "finished chunks are saved"
    expected = f"lightning: interrupted. {saved} {start} in attack: the same command goes on from"
    assert errors.splitlines()[-1].startswith(expected)


@pytest.mark.integration
def test_two_processes_give_the_same_bits_as_one(weights: Path, tmp_path: Path) -> None:
    attack(weights, "--output=one", "--threads=1")
    both = process(
        weights, "--output=two", "--trainer.strategy=ddp", "--trainer.devices=2", "--threads=1",
        "--data.eval_batch_size=50",
    )  # fmt: skip
    out, errors = both.communicate(timeout=120)
    assert both.returncode == 0, errors
    assert "Starting with 2 processes" in errors
    assert same(tmp_path / "one", tmp_path / "two")
    assert out.count("gradient evaluations") == 1


def test_other_settings_in_the_same_folder_are_refused_by_name(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(weights, "--limit=10")
    capsys.readouterr()
    line = refused(words(weights, "--limit=20", "--attack.eps=2.0"), capsys)
    assert "holds results of other settings (attack.eps 0.8 -> 2.0;" in line
    assert "limit 10 -> 20): name another output" in line


def test_other_images_under_the_same_settings_are_refused(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(weights, "--limit=10")
    capsys.readouterr()
    line = refused(words(weights, "--limit=10", "--data.split_seed=1"), capsys)
    assert "chunk 0 in attack was made from other images than the data gives now" in line


def test_initial_weights_are_attacked_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    attack(None, "--limit=10")
    out, err = capsys.readouterr()
    assert "lightning: no --ckpt_path: these are the initial weights" in err
    assert "attacked" in out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--layer=hiden1", "no layer 'hiden1'. Nearest names: hidden1"),
        ("--split=validation", "no examples are held out to validate on"),
        ("--limit=0", "limit must be at least 1, not 0"),
        ("--chunk=0", "chunk must be at least 1, not 0"),
        ("--seed=-1", "seed must not be negative"),
        ("--bounds={lower: 0.5, upper: 0.7}", "leave the bounds 0.5 .. 0.7"),
        ("--survives=17", "bits must lie between 1 and 16, not 17"),
        ("--show=-1", "show must not be negative: -1"),
        ("--class_names=none.txt", "cannot read none.txt (No such file or directory)"),
        ("--trainer.limit_predict_batches=2", "2 of 6 chunks are done: repeat the command"),
        ("--model.widths=[64, 12, 10]", "64-16-10"),
    ],
)
def test_what_does_not_fit_is_one_line(
    option: str, message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(words(weights, option), capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--survives=8", "--layer=hidden1"], "survives is for images, and layer 'hidden1'"),
        (["--png=true", "--layer=hidden1"], "png saves images, and layer 'hidden1' is attacked"),
        (["--png=true", "--bounds={lower: -.inf, upper: .inf}"], "png needs finite bounds"),
        (["--goal=TargetClass", "--goal.label=10"], "the model has 10 classes, 0 to 9; label is"),
    ],
)
def test_options_that_do_not_fit_together_are_one_line(
    options: list[str], message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(words(weights, *options), capsys)


def test_a_checkpoint_of_other_weights_is_one_line(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(words(weights, f"--model={OTHERS}.OwnData"), capsys)
    assert "is not of this model: Error(s) in loading state_dict for OwnData" in line


def test_a_module_of_the_users_with_its_own_data_is_attacked(tmp_path: Path) -> None:
    cli.main(["attack", f"--model={OTHERS}.OwnData", *words(None)[4:]])
    found = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    assert torch.equal(found["clean"], images(30))


def test_a_data_module_of_the_users_keeps_its_way_to_the_device(tmp_path: Path) -> None:
    bounds = "--bounds={lower: -1.0, upper: 1.0}"
    mine = [f"--model={OTHERS}.OwnData", f"--data={OTHERS}.Normalised", bounds, "--split=train"]
    cli.main(["attack", *mine, *words(None)[4:]])
    found = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    assert torch.equal(found["clean"], images(30) * 2 - 1)
    assert not torch.equal(found["clean"], found["adversarial"])


def test_mapping_batches_go_through_the_users_hooks_as_mappings(tmp_path: Path) -> None:
    bounds = "--bounds={lower: -1.0, upper: 1.0}"
    mine = [f"--model={OTHERS}.OwnData", f"--data={OTHERS}.Mappings", bounds, "--chunk=11"]
    cli.main(["attack", *mine, *words(None, "--chunk=11")[4:]])
    found = torch.load(tmp_path / "attack" / "examples.pt", weights_only=True)
    assert torch.equal(found["clean"], images(30) * 2 - 1)
    assert found["labels"].tolist() == [i % 4 for i in range(30)]
    assert not torch.equal(found["clean"], found["adversarial"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split=train"], "OwnData has no train split (no train_dataloader); it has: test."),
        ([f"--data={OTHERS}.Several"], "gives 2 loaders for the test split"),
        ([f"--data={OTHERS}.Unlabelled"], "The data must give batches (images, labels)"),
        (["--model=tests.tiny.Tiny"], "Tiny has no forward: an attack needs logits"),
    ],
    ids=["no such split", "two loaders", "no labels", "no forward"],
)
def test_modules_and_data_that_do_not_fit_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = ["attack", f"--model={OTHERS}.OwnData", *words(None)[4:]]
    assert message in refused([*mine, *options], capsys)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--attack=GradientAtack",
            "attack: no class 'GradientAtack'. Did you mean 'GradientAttack'?",
        ),
        ("--goal=RandomTarget", "goal: no class 'RandomTarget'. Did you mean 'RandomTargets'?"),
        ("--split=tset", "split"),
        ("--outptu=x", "no option 'outptu'. Did you mean 'output'?"),
    ],
)
def test_typos_are_told_with_the_nearest_name(
    option: str, message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(words(weights, option), capsys, status=2)


def test_help_lists_the_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["attack", "--help"])
    out = capsys.readouterr().out
    for option in ("attack", "goal", "bounds", "layer", "split", "only_correct", "format"):
        assert f"--{option} " in out
    assert "Attack each image of a split, save the examples, and report how it went." in out
