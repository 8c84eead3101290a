from pathlib import Path

import pytest

from lit_intriguing.cli import main
from lit_intriguing.errors import UsageError
from lit_intriguing.studies.ablation import check
from lit_intriguing.studies.command import parse
from lit_intriguing.studies.runs import RunStore

BASE = Path(__file__).with_name("base.yaml")
RECIPE = ["--config", "recipes/adv_digits_ablation.yaml", f"--base={BASE}"]


def layers(row):
    """The layers that a row of the recipe perturbs, with their options."""
    (run, *_) = parse(RECIPE).plan().final_runs(row, 0)
    callbacks = run.config["trainer"]["callbacks"]
    return callbacks[0]["init_args"]["layers"] if callbacks else {}


def test_the_command_runs_the_recipes_study_to_its_table_and_files(tmp_path, capsys):
    short = ["--only=[none, all]", "--seeds=[0, 1]", "--workers=0", f"--out_dir={tmp_path}"]
    main(["ablate", *RECIPE, *short, '--overrides={"trainer": {"max_epochs": 1}}'])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[2:4]] == ["none", "all"]
    assert [line[-2:] for line in lines[2:4]] == [["2", "0"], ["2", "0"]]
    assert {path.suffix for path in tmp_path.glob("ablation.*")} == {".csv", ".md", ".png"}
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2 * (3 + 2)


def test_every_row_of_the_recipe_can_be_built(tmp_path):
    study = parse(RECIPE)
    assert len(study.seeds) >= 5
    for row in study.rows.values():
        row.candidates = row.candidates[-1:]
    check(study.plan(), RunStore(tmp_path))


def test_the_rows_of_the_recipe_are_what_they_are_called():
    perturbed = {name: sorted(layers(name)) for name in parse(RECIPE).rows}
    hidden = ["hidden1", "hidden2"]
    assert perturbed == {
        "none": [],
        "dropout": [],
        "input": [""],
        "first hidden": ["hidden1"],
        "second hidden": ["hidden2"],
        "both hidden": hidden,
        "all": ["", *hidden],
        "input, fresh": [""],
        "all, fresh": ["", *hidden],
        "all, re-forwarded": ["", *hidden],
        "all, clipped": ["", *hidden],
    }
    assert all(one["pool"] == one["refresh"] for one in layers("all, fresh").values())
    assert not layers("all, re-forwarded")["hidden2"]["stale"]
    assert "bounds" in layers("all, clipped")[""]
    assert "bounds" not in layers("all")[""]


def test_the_mnist_study_has_the_same_rows_and_five_seeds():
    mnist = parse(["--config=adv_mnist_ablation", f"--base={BASE}"])
    assert list(mnist.rows) == list(parse(RECIPE).rows)
    assert len(mnist.seeds) >= 5
    assert mnist.tuning == {"data": {"init_args": {"validation": 10000}}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--onli=x"], "ablate: unrecognized arguments: --onli=x. Did you mean 'only'?"),
        (["--seeds=x"], "ablate: seeds: expected list, got 'x'."),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    with pytest.raises(UsageError) as caught:
        parse([*RECIPE, *arguments])
    assert str(caught.value) == message


def test_a_row_that_cannot_be_built_is_named(tmp_path, capsys):
    wrong = '--overrides={"trainer": {"max_epoch": 1}}'
    with pytest.raises(SystemExit) as caught:
        main(["ablate", *RECIPE, wrong, f"--out_dir={tmp_path}"])
    assert caught.value.code == 1
    assert "row 'none', candidate 1: " in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
