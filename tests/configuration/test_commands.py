"""Several `--config` and options with another class: the same rules in every command."""

import pytest
import yaml

from lit_intriguing import cli
from lit_intriguing.attacks import BoxLBFGS, GradientAttack
from lit_intriguing.commands.ablate.command import parse as ablate
from lit_intriguing.commands.probe.command import parse as probe
from lit_intriguing.commands.transfer.command import parse as transfer
from lit_intriguing.errors import UsageError

MODEL_SETS = {
    "transfer": (transfer, "recipes/table2_digits.yaml"),
    "probe": (probe, "recipes/probe_digits.yaml"),
}
BOX = "lit_intriguing.attacks.BoxLBFGS"
PAPER = {"attack": {"class_path": BOX, "init_args": {"mode": "paper"}}}
GRADIENT = {
    "attack": {"class_path": "lit_intriguing.attacks.GradientAttack", "init_args": {"eps": 2.0}}
}


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return f"--config={path}"

    return write


@pytest.mark.parametrize("command", MODEL_SETS)
def test_a_later_file_may_name_another_attack(command, file):
    parse, recipe = MODEL_SETS[command]
    study = parse([f"--config={recipe}", file("a", PAPER), file("b", GRADIENT)])
    assert isinstance(study.attack, GradientAttack)
    assert study.attack.eps == 2.0


@pytest.mark.parametrize("command", MODEL_SETS)
def test_an_option_may_name_another_attack(command, file):
    parse, recipe = MODEL_SETS[command]
    options = ["--attack", "GradientAttack", "--attack.eps", "1.5"]
    study = parse([f"--config={recipe}", file("a", PAPER), *options])
    assert isinstance(study.attack, GradientAttack)
    assert study.attack.eps == 1.5


@pytest.mark.parametrize("command", MODEL_SETS)
def test_the_same_attack_keeps_its_options(command, file):
    parse, recipe = MODEL_SETS[command]
    again = {"attack": {"class_path": BOX}}
    study = parse([f"--config={recipe}", file("a", PAPER), file("b", again)])
    assert isinstance(study.attack, BoxLBFGS)
    assert study.attack.mode == "paper"


@pytest.mark.parametrize("command", [*MODEL_SETS, "attack"])
def test_an_option_of_the_class_before_is_refused_with_the_new_one(command, file, capsys):
    recipe = {"attack": "recipes/attack_digits.yaml"}.get(command) or MODEL_SETS[command][1]
    wrong = {"attack": {"class_path": "GradientAttack", "init_args": {"mode": "paper"}}}
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, f"--config={recipe}", file("a", PAPER), file("b", wrong)])
    assert stopped.value.code == 2
    assert "GradientAttack has no parameter 'mode'" in capsys.readouterr().err


ROWS = {"rows": {"a": {"candidates": [{}]}, "b": {"candidates": [{}]}}}


@pytest.mark.parametrize("place", ["the first file", "the last file", "an option"])
def test_an_unknown_key_of_an_ablations_row_is_refused_wherever_it_stands(place, file):
    wrong = {"rows": {"a": {"candidates": [{}], "overides": {}}}}
    arguments = ["--config=recipes/adv_digits_ablation.yaml"]
    if place == "an option":
        arguments += ["--rows={a: {candidates: [{}], overides: {}}}"]
    else:
        contents = [wrong, ROWS] if place == "the first file" else [ROWS, wrong]
        arguments += [file(str(number), content) for number, content in enumerate(contents)]
    with pytest.raises(UsageError, match=r"rows\.a: Row has no parameter 'overides'\. Did you m"):
        ablate(arguments)


def test_a_later_file_replaces_an_ablations_rows_and_keeps_what_they_share(file):
    more = {"rows": {"a": {"candidates": [{}], "overrides": {"trainer": {"max_epochs": 1}}}}}
    study = ablate(["--config=recipes/adv_digits_ablation.yaml", file("0", ROWS), file("1", more)])
    assert list(study.rows) == ["a"]
    assert study.rows["a"].overrides == {"trainer": {"max_epochs": 1}}


def test_an_ablations_base_is_read_as_fit_reads_it(file, tmp_path):
    timer = {"class_path": "lightning.pytorch.callbacks.Timer"}
    file("base", {"trainer": {"callbacks+": [timer]}})
    options = [f"--base={tmp_path}/base.yaml", "--overrides={}", "--tuning={}"]
    study = ablate(["--config=recipes/adv_digits_ablation.yaml", file("rows", ROWS), *options])
    study.seed_keys = ["seed_everything"]
    assert study.plan().base == {"trainer": {"callbacks": [timer]}}
