import signal

import pytest
import torch

from lit_intriguing.model_sets.training import train_and_save
from lit_intriguing.training_runs.measure import attempt, build, train_and_measure
from lit_intriguing.training_runs.store import Run, Stage

CONFIG = {
    "seed_everything": 0,
    "paper": "ignored here",
    "model": {
        "class_path": "Classifier",
        "init_args": {"widths": [64, 16, 10], "optimizer": {"class_path": "Adam"}},
    },
    "data": {"class_path": "lit_intriguing.data.Digits", "init_args": {"validation": 100}},
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 2,
        "callbacks": [
            {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint"},
            {"class_path": "lightning.pytorch.callbacks.LearningRateMonitor"},
        ],
    },
}


def config(**changes):
    return CONFIG | changes


@pytest.mark.integration
def test_a_run_is_measured_on_the_split_of_its_stage_and_can_be_repeated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tune = attempt(Run(Stage.TUNE, CONFIG), train_and_measure)
    final = attempt(Run(Stage.FINAL, CONFIG), train_and_measure)
    assert (tune.failure, final.failure) == (None, None)
    # Whole answers out of 100 held-out and 360 test images.
    assert tune.error * 100 == pytest.approx(round(tune.error * 100), abs=1e-4)
    assert final.error * 360 == pytest.approx(round(final.error * 360), abs=1e-4)
    assert attempt(Run(Stage.FINAL, CONFIG), train_and_measure).error == final.error
    assert list(tmp_path.iterdir()) == []


def test_random_numbers_outside_are_left_as_they_were():
    before = torch.get_rng_state()
    attempt(Run(Stage.TUNE, CONFIG), train_and_measure)
    assert torch.equal(torch.get_rng_state(), before)


def test_tuning_without_held_out_images_fails_and_says_so():
    data = {"class_path": "lit_intriguing.data.Digits"}
    result = attempt(Run(Stage.TUNE, config(data=data)), train_and_measure)
    assert result.error is None
    assert "no examples are held out to validate on" in result.failure
    assert "Traceback" in result.details


def test_what_a_run_prints_is_kept_for_a_failure(capsys):
    def talk(run):
        print("about to fail")
        raise SystemExit("gone")

    result = attempt(Run(Stage.TUNE, CONFIG), talk)
    assert result.failure == "SystemExit: gone"
    assert "about to fail" in result.details
    assert capsys.readouterr().out == ""


def ended_by(how):
    ending = {"class_path": "tests.training_runs.ending.Ending", "init_args": {"how": how}}
    trainer = {"accelerator": "cpu", "max_epochs": 1, "callbacks": [ending]}
    return Run(Stage.TUNE, config(trainer=trainer))


@pytest.fixture
def measures(tmp_path):
    """What trains and measures, by name; the signals are as before in the end."""
    before = signal.getsignal(signal.SIGINT)
    yield {"alone": train_and_measure, "weights": lambda run: train_and_save(tmp_path, run)}
    signal.signal(signal.SIGINT, before)  # Lightning ignores further ones


@pytest.mark.integration
@pytest.mark.parametrize("how", ["ctrl_c", "sigterm"])
@pytest.mark.parametrize("kind", ["alone", "weights"])
def test_a_user_who_stops_a_training_stops_more_than_this_one(kind, how, measures):
    with pytest.raises(KeyboardInterrupt):
        attempt(ended_by(how), measures[kind])


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["alone", "weights"])
def test_a_library_that_ends_the_process_fails_one_run(kind, measures):
    assert attempt(ended_by("library"), measures[kind]).failure == "SystemExit: gone"


def test_a_wrong_key_is_an_exception_of_the_parser():
    with pytest.raises(Exception, match="max_epoch"):
        build(config(trainer={"max_epoch": 1}))
