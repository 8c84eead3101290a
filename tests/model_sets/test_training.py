"""Recipes' models are trained once, what they need first; the training itself stands in here."""

import io

import pytest
import torch
import yaml

from lit_intriguing.commands.transfer import ModelSource
from lit_intriguing.errors import UsageError
from lit_intriguing.model_sets import training
from lit_intriguing.model_sets.sources import fit_config
from lit_intriguing.model_sets.training import Training, weights_of
from lit_intriguing.training_runs.store import Run, Stage

CLASSIFIER = "lit_intriguing.models.Classifier"
TIMER = {"class_path": "lightning.pytorch.callbacks.Timer"}


@pytest.fixture
def trained(monkeypatch):
    """The configurations trained, in their order; `broken: true` fails."""
    done = []

    def stand_in(folder, run):
        done.append(run.config)
        if run.config.get("broken"):
            raise ValueError("diverged")
        folder.mkdir(exist_ok=True)
        torch.save({}, weights_of(folder, run))
        return 0.5

    monkeypatch.setattr(training, "train_and_save", stand_in)
    return done


@pytest.fixture
def files(tmp_path):
    contents = {
        "base": {"model": {"class_path": CLASSIFIER, "init_args": {"widths": [1]}}},
        "more": {"model": {"init_args": {"encoder": "x"}}, "trainer": {"callbacks+": [TIMER]}},
        "first": {"first": True},
        "broken": {"broken": True},
        "other": {"model": {"class_path": "lit_intriguing.models.Network"}, "seed_everything": 4},
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return {name: str(tmp_path / f"{name}.yaml") for name in contents}


def test_configurations_are_merged_as_on_the_command_line(files):
    assert fit_config([files["base"], files["more"], files["more"]]) == {
        "seed_everything": 0,
        "model": {"class_path": CLASSIFIER, "init_args": {"widths": [1], "encoder": "x"}},
        "trainer": {"callbacks": [TIMER, TIMER]},
    }
    other = fit_config([files["base"], files["other"]])
    assert other["model"] == {"class_path": "lit_intriguing.models.Network", "init_args": {}}
    assert other["seed_everything"] == 4


def sources(files):
    plain = ModelSource(recipe=[files["base"], files["more"]])
    needing = ModelSource(
        recipe=[files["base"], files["more"]], needs={"model.init_args.encoder": [files["first"]]}
    )
    return {"plain": plain, "same": plain, "needing": needing}


def everything(folder, given):
    work = Training(folder, stream=io.StringIO())
    configs = work.configs(given)
    paths = work.weights({name: Run(Stage.FINAL, one) for name, one in configs.items()})
    return work, configs, paths


def test_each_model_is_trained_once_after_what_it_needs(trained, files, tmp_path):
    work, configs, paths = everything(tmp_path / "kept", sources(files))
    assert work.failures == {}
    assert [bool(config.get("first")) for config in trained] == [True, False, False]
    assert paths["plain"] == paths["same"] != paths["needing"]
    encoder = configs["needing"]["model"]["init_args"]["encoder"]
    assert (tmp_path / "kept").joinpath(encoder).is_file()
    assert configs["plain"]["model"]["init_args"]["encoder"] == "x"
    trained.clear()
    assert everything(tmp_path / "kept", sources(files))[2] == paths
    assert trained == []


def test_weights_that_are_gone_are_trained_again(trained, files, tmp_path):
    paths = everything(tmp_path, sources(files))[2]
    paths["plain"].unlink()
    trained.clear()
    everything(tmp_path, sources(files))
    assert len(trained) == 1


def test_a_training_that_fails_is_told_and_tried_again(trained, files, tmp_path):
    given = {
        "broken": ModelSource(recipe=files["broken"]),
        "lacking": ModelSource(
            recipe=files["base"], needs={"model.init_args.encoder": [files["broken"]]}
        ),
        **sources(files),
    }
    work, _, paths = everything(tmp_path, given)
    assert set(paths) == set(sources(files))
    assert work.failures == dict.fromkeys(
        ("broken", "lacking"), "its training failed: ValueError: diverged"
    )
    trained.clear()
    everything(tmp_path, given)
    assert all(config["broken"] for config in trained)
    assert len(trained) == 2


def test_a_file_that_is_not_there_is_told_with_the_model(files, tmp_path):
    with pytest.raises(UsageError, match="model 'a': no file"):
        Training(tmp_path).configs({"a": ModelSource(recipe="recipes/none_such.yaml")})
    with pytest.raises(UsageError, match="model 'a': no file"):
        Training(tmp_path).configs(
            {"a": ModelSource(recipe=files["base"], needs={"x": ["recipes/none_such.yaml"]})}
        )


def test_a_process_that_is_not_the_first_trains_nothing(trained, files, tmp_path, monkeypatch):
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    work, _, paths = everything(tmp_path, {"a": ModelSource(recipe=files["base"])})
    assert trained == []
    assert paths == {}
    assert "the first process has not trained it" in work.failures["a"]


def test_processes_that_begin_together_wait_for_the_first(trained, files, tmp_path, monkeypatch):
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    given = {"a": ModelSource(recipe=files["base"])}

    def first_process(_: float) -> None:
        with monkeypatch.context() as other:
            other.setattr(rank_zero_only, "rank", 0)
            everything(tmp_path, given)

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr("lit_intriguing.model_sets.training.time.sleep", first_process)
    work, _, paths = everything(tmp_path, given)
    assert len(trained) == 1
    assert paths["a"].is_file()
    assert work.failures == {}


def test_processes_that_begin_together_do_not_wait_for_what_failed(
    trained, files, tmp_path, monkeypatch
):
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    given = {"a": ModelSource(recipe=files["base"], overrides={"broken": True})}
    everything(tmp_path, given)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    work, _, _ = everything(tmp_path, given)
    assert "the first process has not trained it" in work.failures["a"]
