"""`--set` on the command line, and mistakes in a configuration of another folder."""

import pytest
import yaml

from lit_intriguing import cli
from lit_intriguing.commands.transfer.options import TransferMatrix
from lit_intriguing.configuration import shipped
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets.command import read as read_study

STEP = {"class_path": "GradientAttack", "init_args": {"eps": 0.5}}
CONFIG = {
    "model": {"class_path": "lit_intriguing.models.Classifier", "init_args": {"widths": [64, 10]}},
    "trainer": {
        "callbacks": [
            {
                "class_path": "lit_intriguing.callbacks.AdversarialTraining",
                "init_args": {"layers": {"hidden1": {"attack": STEP}, "net.1": {"attack": STEP}}},
            },
            {"class_path": "LearningRateMonitor"},
        ]
    },
}


def printed(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments, "--print_config"])
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    return yaml.safe_load(out)


def layers(config):
    return config["trainer"]["callbacks"][0]["init_args"]["layers"]


@pytest.mark.parametrize("layer", ["hidden1", "net.1"])
def test_a_number_of_a_layer_is_changed_before_another_callback(layer, tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    before = printed(["fit", "--config", str(file)], capsys)
    setting = f"AdversarialTraining.layers.{layer}.mix=16"
    after = printed(
        ["fit", "--config", str(file), "--set", setting, "LearningRateMonitor.log_momentum=true"],
        capsys,
    )
    assert layers(after)[layer].pop("mix") == 16
    assert layers(before)[layer].pop("mix") == 200
    assert after["trainer"]["callbacks"][1]["init_args"].pop("log_momentum") is True
    before["trainer"]["callbacks"][1]["init_args"].pop("log_momentum")
    assert after == before


def test_a_shipped_recipe_is_changed_and_options_beside_it_hold(capsys):
    words = ["fit", "--config=adv_digits", "--trainer.max_epochs=3"]
    config = printed([*words, "--set=AdversarialTraining.layers.hidden2.attack.eps=0.5"], capsys)
    assert layers(config)["hidden2"]["attack"]["init_args"]["eps"] == 0.5
    assert layers(config)["hidden1"]["attack"]["init_args"]["eps"] == 0.06
    assert config["trainer"]["max_epochs"] == 3


@pytest.mark.parametrize(("address", "layer"), [("hidden1", "hidden1"), ("''", ""), ('""', "")])
def test_null_leaves_a_layer_out(address, layer, capsys):
    words = ["fit", "--config=adv_digits", f"--set=AdversarialTraining.layers.{address}=null"]
    found = layers(printed(words, capsys))
    assert found.pop(layer) is None
    assert len(found) == 2
    assert all(plan["attack"] for plan in found.values())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("AdversarialTraining.layers.hidden1.mx=1", "no parameter 'mx'. Did you mean 'mix'?"),
        ("AdversarialTraining.layers.hidden1.mix=two", "expected int, got 'two'."),
        (
            "AdversarialTraining.layers.hiden1=null",
            "takes out 'hiden1', which is not there. Did you",
        ),
        ("AdversarialTraining.layers.hidden1=3", "layers): expected PerturbedLayer or null, got"),
        ("AdversarialTraining.layers.hidden1.goal=3", "goal): expected Goal or null, got '3'."),
        ("AdversarialTraining.layers.output={goal: null}", "(PerturbedLayer): give attack, which"),
        ("trainer.logger=5", "trainer.logger: expected Logger or Iterable or bool or null, got"),
        ("Exact.x=1", "no callback and no option 'Exact'. Did you mean 'ExactResume'?"),
    ],
)
def test_what_cannot_be_set_is_said_in_one_line(setting, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--config", "adv_digits", "--set", setting])
    line = capsys.readouterr().err
    assert stopped.value.code == 2
    assert line.startswith(f"lightning: --set {setting}: ")
    assert message in line
    assert line.count("\n") == 1


def test_a_study_takes_settings_too():
    attack = "attack={class_path: BoxLBFGS, init_args: {mode: paper}}"
    words = ["--config", "table2_digits", "--set", "limit=7", attack]
    values = read_study(TransferMatrix, "lightning transfer", words)
    assert values["limit"] == 7
    assert values["attack"].mode == "paper"
    with pytest.raises(UsageError, match=r"--set limti=7: no callback and no option"):
        read_study(TransferMatrix, "lightning transfer", [*words[:2], "--set", "limti=7"])


MISTAKES = {
    "a value": ("max_epochs: 100", "max_epochs: ten", "trainer.max_epochs: expected int"),
    "a parameter": ("eps: 0.6", "epsilon: 0.6", "no parameter 'epsilon'. Did you mean 'eps'?"),
    "a class": ("models.Classifier", "models.Clasifier", "Did you mean 'lit_intriguing.models"),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_a_file_of_another_folder_is_said_with_the_file(
    old, new, message, tmp_path, monkeypatch, capsys
):
    good = (shipped.root() / "recipes/adv_digits.yaml").read_text()
    assert old in good
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text(good.replace(old, new, 1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--config", "logger/csv", "--config", "conf/mine.yaml"])
    line = capsys.readouterr().err
    assert stopped.value.code == 2
    assert line.startswith("lightning: conf/mine.yaml: ")
    assert message in line
    assert line.count("\n") == 1


def test_a_mistake_in_one_file_of_a_study_is_said_with_that_file(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("limit: many\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^conf/mine\.yaml: limit: expected int"):
        read_study(TransferMatrix, "x", ["--config", "table2_digits", "--config", "conf/mine.yaml"])
