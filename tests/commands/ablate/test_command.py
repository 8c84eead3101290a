import json
import signal

import pytest
import yaml

from lit_intriguing.cli import main
from lit_intriguing.commands.ablate.checks import check
from lit_intriguing.commands.ablate.command import parse
from lit_intriguing.commands.ablate.plan import Row
from lit_intriguing.configuration import shipped
from lit_intriguing.training_runs.store import RunStore

RECIPES = {
    name: ["--config", f"recipes/{name}.yaml"]
    for name in ("adv_digits_ablation", "adv_mnist_ablation", "adv_mnist_layers")
}
DIGITS = RECIPES["adv_digits_ablation"]
ENDING = "tests.training_runs.ending.Ending"


def layers(row):
    """The layers that a row of the recipe perturbs, with their options."""
    (run, *_) = parse(DIGITS).plan().final_runs(row, 0)
    return {
        name: layer
        for callback in run.config["trainer"]["callbacks"]
        for name, layer in callback.get("init_args", {}).get("layers", {}).items()
    }


@pytest.mark.integration
def test_the_command_runs_the_recipes_study_to_its_table_and_files(tmp_path, capsys):
    short = ["--only=[none, all]", "--seeds=[0, 1]", "--workers=0", f"--out_dir={tmp_path}"]
    few = '--overrides={"trainer": {"max_epochs": 1, "limit_train_batches": 4}}'
    main(["ablate", *DIGITS, *short, few])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[2:4]] == ["none", "all"]
    assert [line[-2:] for line in lines[2:4]] == [["2", "0"], ["2", "0"]]
    assert {path.suffix for path in tmp_path.glob("ablation.*")} == {".csv", ".md", ".png"}
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2 * (3 + 2)


@pytest.mark.integration
@pytest.mark.parametrize("how", ["ctrl_c", "sigterm"])
def test_a_study_in_this_process_ends_where_the_user_stops_a_training(how, tmp_path, capsys):
    ending = {"class_path": ENDING, "init_args": {"how": how}}
    change = {"trainer": {"max_epochs": 1, "callbacks": [ending]}}
    rows = json.dumps({"one": {"candidates": [{}]}})
    options = ["--seed_keys=[seed_everything]", "--workers=0", f"--out_dir={tmp_path}"]
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            main(
                ["ablate", *DIGITS, f"--rows={rows}", *options, f"--overrides={json.dumps(change)}"]
            )
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning ignores further ones
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "lightning: interrupted."
    assert list(tmp_path.glob("runs/*")) == []


@pytest.mark.integration
@pytest.mark.parametrize("name", RECIPES)
def test_every_candidate_of_a_shipped_study_can_be_built_from_its_own_base(name, tmp_path):
    study = parse(RECIPES[name])
    assert len(study.seeds) >= 5
    tuned, reported = check(study.plan(), RunStore(tmp_path))
    held_out = study.tuning["data"]["init_args"]["validation"]
    assert (tuned.validation, reported.validation) == (held_out, 0)


@pytest.mark.integration
def test_the_rows_of_the_recipe_are_what_they_are_called():
    perturbed = {name: sorted(layers(name)) for name in parse(DIGITS).rows}
    hidden = ["hidden1", "hidden2"]
    assert perturbed == {
        "none": [],
        "input": [""],
        "first hidden": ["hidden1"],
        "second hidden": ["hidden2"],
        "both hidden": hidden,
        "all": ["", *hidden],
        "input, fresh": [""],
        "all, fresh": ["", *hidden],
        "all, re-forwarded": ["", *hidden],
        "all, clipped": ["", *hidden],
        "all, annealed": ["", *hidden],
    }
    assert all(one["pool"] == one["refresh"] for one in layers("all, fresh").values())
    assert not layers("all, re-forwarded")["hidden2"]["stale"]
    assert "bounds" in layers("all, clipped")[""]
    assert "bounds" not in layers("all")[""]
    assert layers("all, annealed")[""]["anneal_to"] == 0.5
    assert layers("all")[""].get("anneal_to") is None


def test_the_mnist_study_has_the_same_rows_and_dropout():
    mnist = parse(RECIPES["adv_mnist_ablation"])
    assert [name for name in mnist.rows if name != "dropout"] == list(parse(DIGITS).rows)
    assert mnist.tuning["data"] == {"init_args": {"validation": 10000}}


LAYERS = "trainer: {callbacks: {AdversarialTraining: {init_args: {layers: {hidden1: {%s}}}}}}"
TYPOS = {
    "a key of the study": ("outdir: x", "no option 'outdir'. Did you mean 'out_dir'?"),
    "a key of a row": (
        "rows: {a: {candidates: [{}], overides: {}}}",
        "rows.a: Row has no parameter 'overides'. Did you mean 'overrides'?",
    ),
    "the base": ("base: recipes/adv_digit.yaml", "Did you mean 'recipes/adv_digits.yaml'?"),
    "a key of the overrides": (
        "overrides: {trainer: {max_epoch: 1}}",
        "row 'none', candidate 1: no option 'trainer.max_epoch'. Did you mean 'trainer.max_epo",
    ),
    "our own key in the overrides": (
        "overrides: {thread: 1}",
        "row 'none', candidate 1: no option 'thread'. Did you mean 'threads'?",
    ),
    "a key of the tuning": (
        "tuning: {data: {init_args: {validaton: 9}}}",
        "row 'none', candidate 1: data.init_args: Digits has no parameter 'validaton'. "
        "Did you mean 'validation'?",
    ),
    "a nested key of a candidate": (
        f"rows: {{all: {{candidates: [{LAYERS % 'wieght: 2'}]}}}}",
        "row 'all', candidate 1: trainer.callbacks[0].init_args.layers.hidden1: PerturbedLayer "
        "has no parameter 'wieght'. Did you mean 'weight'?",
    ),
    "a class in a candidate": (
        "rows: {a: {candidates: [{model: {init_args: {optimizer: {class_path: Adm}}}}]}}",
        "row 'a', candidate 1: model.init_args.optimizer: no class 'Adm'. Did you mean 'Adam'?",
    ),
    "a callback that is changed": (
        "rows: {a: {candidates: [{}], overrides: {trainer: {callbacks: {ExactResum: null}}}}}",
        "row 'a', candidate 1: a change to 'ExactResum' in a list needs exactly one",
    ),
    "a layer that is taken out": (
        f"rows: {{a: {{candidates: [{LAYERS.replace('{%s}', 'null').replace('n1', '1')}]}}}}",
        "row 'a', candidate 1: null takes out 'hidde1', which is not there. "
        "Did you mean 'hidden1'?",
    ),
    "a value": ("seeds: few", "seeds: expected list, got 'few'."),
    "a nested value": (
        "overrides: {trainer: {max_epochs: few}}",
        "row 'none', candidate 1: trainer.max_epochs: expected int or null, got 'few'.",
    ),
}


def complaint(arguments, capsys):
    """Runs a command that must be refused with status 2 and in one line; returns the line."""
    with pytest.raises(SystemExit) as caught:
        main(["ablate", *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert line.startswith("lightning: ")
    return line


@pytest.mark.parametrize("kind", TYPOS)
def test_a_typo_in_a_file_is_named_in_one_line(kind, tmp_path, capsys):
    text, expected = TYPOS[kind]
    content = yaml.safe_load((shipped.root() / DIGITS[1]).read_text()) | yaml.safe_load(text)
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    assert expected in complaint([f"--config={file}", f"--out_dir={tmp_path}/out"], capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--onli=x", "lightning: no option 'onli'. Did you mean 'only'?"),
        ("--only=[al]", "Did you mean 'all'?"),
        ("--overrides.trainer.max_epoch=1", "Did you mean 'trainer.max_epochs'?"),
    ],
)
def test_a_typo_in_an_option_is_named_in_one_line(option, expected, tmp_path, capsys):
    assert expected in complaint([*DIGITS, option, f"--out_dir={tmp_path}/out"], capsys)


def test_a_value_that_a_class_refuses_is_told_with_its_row(tmp_path, capsys):
    wrong = '--overrides={"data": {"init_args": {"batch_size": 0}}}'
    with pytest.raises(SystemExit) as caught:
        main(["ablate", *DIGITS, wrong, f"--out_dir={tmp_path}/out"])
    assert caught.value.code == 1
    assert "lightning: row 'none', candidate 1: batch_size" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_the_options_of_a_study(option, capsys):
    main(["ablate", option])
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("--config", "--rows", "--seeds", "--workers", "--out_dir"):
        assert name in out


def test_a_change_of_a_class_keeps_what_it_does_not_name():
    attack = {"class_path": "lit_intriguing.attacks.BoxLBFGS", "init_args": {"batch_size": 20}}
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    optimizer = {"model": {"init_args": {"optimizer": sgd}}}
    rows = {"a": {"overrides": {"attack": attack}, "candidates": [optimizer]}}
    words = [f"--rows={json.dumps(rows)}", f"--overrides={json.dumps(optimizer)}"]
    study = parse([*DIGITS, *words, f"--tuning={json.dumps(optimizer)}"])
    # With the defaults of the classes, it would replace more of the base than it says.
    assert study.rows["a"] == Row([optimizer], {"attack": attack})
    assert study.overrides == study.tuning == optimizer


@pytest.mark.parametrize("form", ["--{}={}", "--{} {}"])
def test_one_value_of_a_change_leaves_its_others(form):
    def words(address, value):
        return form.format(address, value).split(" ")

    text = "--overrides={trainer: {max_epochs: 8, callbacks: {Timer: {init_args: {a: 1}}}}}"
    single = [
        *words("overrides.trainer.callbacks.Timer", "null"),
        *words("overrides.trainer.max_steps", "3"),
        *words("overrides.model.init_args.widths", "[64,10]"),
        *words("tuning.data.init_args.validation", "20"),
    ]
    study = parse([*DIGITS, text, *single])
    assert study.overrides == {
        "trainer": {"max_epochs": 8, "max_steps": 3, "callbacks": {"Timer": None}},
        "model": {"init_args": {"widths": [64, 10]}},
    }
    assert study.tuning == {"data": {"init_args": {"validation": 20}}}


def test_one_value_of_a_class_keeps_the_class_that_the_change_names():
    changes = "--overrides={optimizer: torch.optim.Adam, trainer: {logger: false}}"
    values = [
        "--overrides.optimizer.init_args.lr=0.1",
        "--overrides.trainer.logger.class_path=CSVLogger",
    ]
    assert parse([*DIGITS, changes, *values]).overrides == {
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}},
        "trainer": {"logger": {"class_path": "CSVLogger"}},
    }


CALLBACKS = "[{class_path: a.Timer, init_args: {duration: 1}}, b.Other]"
LISTED = [{"class_path": "a.Timer", "init_args": {"duration": 1}}, "b.Other"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "Timer.init_args.interval=step",
            [{**LISTED[0], "init_args": {"duration": 1, "interval": "step"}}, "b.Other"],
        ),
        ("Other.init_args.a=1", [LISTED[0], {"class_path": "b.Other", "init_args": {"a": 1}}]),
        ("Timer.init_args.duration=null", [{"class_path": "a.Timer", "init_args": {}}, "b.Other"]),
        ("Other=null", LISTED[:1]),
        ("Other=b.Third", [LISTED[0], "b.Third"]),
    ],
)
def test_one_value_in_a_list_of_a_change_leaves_the_list(value, expected):
    changes = f"--overrides={{trainer: {{callbacks: {CALLBACKS}}}}}"
    study = parse([*DIGITS, changes, f"--overrides.trainer.callbacks.{value}"])
    assert study.overrides == {"trainer": {"callbacks": expected}}


def test_one_value_of_a_class_that_a_list_of_a_change_lacks_is_refused(tmp_path, capsys):
    changes = f"--overrides={{trainer: {{callbacks: {CALLBACKS}}}}}"
    option = "--overrides.trainer.callbacks.Timr.init_args.interval"
    line = complaint([*DIGITS, f"--out_dir={tmp_path}/out", changes, f"{option}=step"], capsys)
    assert line.startswith(f"lightning: {option}: a change to 'Timr' in a list needs exactly one")
    assert line.endswith("Did you mean 'Timer'?")


def test_one_value_of_a_change_is_printed_with_the_configuration(capsys):
    with pytest.raises(SystemExit) as ended:
        parse([*DIGITS, "--print_config", "--overrides.trainer.max_epochs=3"])
    assert ended.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["overrides"] == {"trainer": {"max_epochs": 3}}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tuning.data"], "--tuning.data: expected a value behind it."),
        (["--tuning.data", "--workers", "2"], "--tuning.data: expected a value behind it."),
        (["--tuning.data={"], "--tuning.data={: the value is not valid YAML."),
    ],
)
def test_one_value_of_a_change_that_is_none_is_refused(words, expected, tmp_path, capsys):
    assert expected in complaint([*DIGITS, f"--out_dir={tmp_path}/out", *words], capsys)
