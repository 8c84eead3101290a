import pytest

from lit_intriguing.commands.ablate.plan import Plan, Row
from lit_intriguing.configuration.patches import with_value
from lit_intriguing.errors import UsageError
from lit_intriguing.training_runs.store import Stage


def plan(**changes):
    values = {
        "base": {"seed_everything": 9, "lr": 1, "data": {"validation": 0}, "callbacks": []},
        "rows": {"a": Row([{}, {"lr": 3}], {"lr": 2}), "b": Row([{}, {}])},
        "seeds": [0, 1],
        "tune_seeds": [7],
        "tuning": {"data": {"validation": 5}},
        "seed_keys": ["seed_everything"],
    }
    return Plan(**(values | changes))


def test_a_tuning_run_holds_images_out_and_a_final_run_does_not():
    (tune,) = plan().tune_runs("a", 0)
    assert tune.stage is Stage.TUNE
    assert tune.config["data"] == {"validation": 5}
    assert [run.config["data"] for run in plan().final_runs("a", 0)] == [{"validation": 0}] * 2


def test_the_candidate_changes_the_row_which_changes_the_base():
    configs = [plan().final_runs(*key)[0].config["lr"] for key in plan().candidates()]
    assert configs == [2, 3, 1, 1]


def test_each_run_gets_its_seed():
    assert [run.config["seed_everything"] for run in plan().final_runs("a", 0)] == [0, 1]


def test_a_seed_key_of_a_callback_that_a_row_lacks_is_left_out():
    key = "callbacks.Timer.init_args.seed"
    run = plan(seed_keys=["seed_everything", key]).final_runs("a", 0)[0]
    assert run.config["callbacks"] == []
    with_timer = with_value({"callbacks": ["x.Timer"]}, key.split("."), 4)
    assert with_timer["callbacks"] == [{"class_path": "x.Timer", "init_args": {"seed": 4}}]


def test_seeds_that_change_nothing_are_refused():
    with pytest.raises(UsageError, match=r"row 'a': none of the seed_keys \['callbacks.T.seed'\]"):
        plan(seed_keys=["callbacks.T.seed"]).final_runs("a", 0)


def test_one_candidate_needs_no_tuning():
    assert plan(rows={"a": Row([{}])}).tune_runs("a", 0) == []


def test_a_patch_that_does_not_fit_names_row_and_candidate():
    rows = {"a": Row([{}, {"callbacks": {"Timer": None}}])}
    with pytest.raises(UsageError, match="row 'a', candidate 2: a change to 'Timer' in a list"):
        plan(rows=rows).final_runs("a", 1)
