"""Configurations as columns."""

from lit_intriguing.loggers.configuration import by_name, flat


def callback(name: str, **options: object) -> dict[str, object]:
    return {"class_path": f"lit_intriguing.callbacks.{name}", "init_args": options}


def test_layers_and_callbacks_are_columns_by_their_names() -> None:
    layers = {"": {"mix": 4}, "net.1": {"mix": 8}}
    found = flat({"trainer": {"callbacks": [callback("AdversarialTraining", layers=layers)]}})
    above = "trainer.callbacks.AdversarialTraining"
    assert found[f"{above}.init_args.layers.input.mix"] == 4
    assert found[f"{above}.init_args.layers.net.1.mix"] == 8


def test_a_class_that_comes_twice_is_numbered_and_nothing_is_lost() -> None:
    found = by_name([callback("A", n=1), callback("B"), callback("A", n=2), {"plain": 3}])
    assert found["A"]["0"]["init_args"] == {"n": 1}
    assert found["A"]["1"]["init_args"] == {"n": 2}
    assert found["B"]["init_args"] == {}
    assert found["3"] == {"plain": 3}


def test_lists_of_numbers_and_empty_ones_stay() -> None:
    assert by_name({"widths": [64, 10], "callbacks": []}) == {"widths": [64, 10], "callbacks": []}
    assert flat({"widths": [64, 10], "more": {}}) == {"widths": "[64, 10]", "more": "{}"}
