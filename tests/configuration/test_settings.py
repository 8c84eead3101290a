"""`--set`: addresses that lead to an option of a callback or a layer, and those that do not."""

import pytest

from lit_intriguing.configuration.settings import split_off, with_setting
from lit_intriguing.errors import UsageError

CONFIG = {
    "model": {"class_path": "x.Net", "init_args": {"scheduler": None, "width": 3}},
    "trainer": {
        "max_epochs": 9,
        "callbacks": [
            {"class_path": "x.Pools", "init_args": {"layers": {
                "": {"mix": 1}, "net.1": {"mix": 2, "attack": {"class_path": "x.Step"}},
                "net": {"mix": 3},
            }}},
            {"class_path": "x.Timer", "init_args": {"interval": "epoch"}},
            {"class_path": "x.Timer"},
        ],
    },
}  # fmt: skip


def pools(config):
    return config["trainer"]["callbacks"][0]["init_args"]["layers"]


@pytest.mark.parametrize(
    ("address", "layer"),
    [("net.1", "net.1"), ("net", "net"), ("", ""), ("''", "")],
    ids=["dotted", "its parent", "input", "input in quotes"],
)
def test_one_number_of_a_layer_is_set_and_nothing_else(address, layer):
    changed = pools(with_setting(CONFIG, f"Pools.layers.{address}.mix=16"))
    assert changed == {**pools(CONFIG), layer: {**pools(CONFIG)[layer], "mix": 16}}


def test_an_option_inside_a_class_that_had_none_is_set():
    changed = pools(with_setting(CONFIG, "Pools.layers.net.1.attack.eps=1e-3"))
    assert changed["net.1"]["attack"] == {"class_path": "x.Step", "init_args": {"eps": 0.001}}


def test_one_of_several_callbacks_of_a_class_is_named_by_its_number():
    callbacks = with_setting(CONFIG, "Timer[1].interval=step")["trainer"]["callbacks"]
    assert callbacks[2] == {"class_path": "x.Timer", "init_args": {"interval": "step"}}
    assert callbacks[:2] == CONFIG["trainer"]["callbacks"][:2]


def test_a_callback_is_taken_out_by_null():
    assert (
        with_setting(CONFIG, "Pools=null")["trainer"]["callbacks"]
        == (CONFIG["trainer"]["callbacks"][1:])
    )


def test_a_single_callback_outside_a_list_is_found():
    config = {"trainer": {"callbacks": {"class_path": "x.Timer", "init_args": {"a": 1}}}}
    changed = with_setting(config, "Timer.a=2")
    assert changed["trainer"]["callbacks"] == {"class_path": "x.Timer", "init_args": {"a": 2}}


def test_options_outside_callbacks_and_values_that_are_no_scalars_are_set():
    assert with_setting(CONFIG, "model.width=[1, 2]")["model"]["init_args"]["width"] == [1, 2]
    assert with_setting(CONFIG, "trainer.max_epochs=1")["trainer"]["max_epochs"] == 1
    assert with_setting(CONFIG, "trainer.callbacks.1.interval=x") == with_setting(
        CONFIG, "Timer[0].interval=x"
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("Poosl.layers.net.mix=1", "no callback and no option 'Poosl'. Did you mean 'Pools'?"),
        ("Pools.layers.ent.mix=1", "there is no 'ent.mix'. There are: '', net.1, net."),
        ("Timer.interval=step", "there are Timer[0] to Timer[1]: write which one is meant"),
        ("Timer[2].interval=step", "there are Timer[0] to Timer[1]"),
        ("trainer.callbacks.Net.x=1", "no 'Net' in the list"),
        ("model.scheduler.floor=1", "what holds it is null: give that a class"),
        ("trainer.max_epochs", "expected ADDRESS=VALUE"),
        ("trainer.max_epochs=[1", "the value is not valid YAML"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(setting, message):
    with pytest.raises(UsageError) as refused:
        with_setting(CONFIG, setting)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"--set {setting}: ")


def test_the_values_that_a_sweep_fills_in_behind_one_option_are_all_settings():
    words = ["--config", "a", "--set", "A.x=1", "B.y=2", "--model.z", "3"]
    assert split_off(words) == (["--config", "a", "--model.z", "3"], ["A.x=1", "B.y=2"])


@pytest.mark.parametrize("words", [["--set"], ["--set", "--config", "a"]])
def test_set_without_a_value_is_refused(words):
    with pytest.raises(UsageError, match="--set ADDRESS=VALUE"):
        split_off(words)
