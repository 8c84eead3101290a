"""Files merged into one configuration give what `lightning fit` makes of them."""

import pytest
import yaml

from lit_intriguing.configuration.merging import merged_files
from lit_intriguing.errors import UsageError

ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5, "amsgrad": True}}
CLASSIFIER = {
    "class_path": "lit_intriguing.models.Classifier",
    "init_args": {"widths": [64, 10], "optimizer": ADAM},
}


@pytest.fixture
def merge(tmp_path):
    def files(*contents):
        paths = []
        for number, content in enumerate(contents):
            paths.append(str(tmp_path / f"{number}.yaml"))
            (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(content))
        return merged_files(paths)

    return files


def test_only_what_the_files_say_is_there_and_later_ones_win(merge):
    assert merge(
        {"model": CLASSIFIER, "trainer": {"max_epochs": 3, "devices": 1}, "paper": "1%"},
        {"trainer": {"max_epochs": 4}, "paper": None, "ckpt_path": "x.ckpt"},
    ) == {
        "model": CLASSIFIER, "trainer": {"max_epochs": 4, "devices": 1}, "paper": None,
        "ckpt_path": "x.ckpt",
    }  # fmt: skip


def test_one_file_stays_as_it_is_written(merge):
    content = {"model": {"class_path": "nowhere.Net"}, "own": {"key": [1, None]}}
    assert merge(content) == content


def test_a_plus_appends_also_in_one_file(merge):
    timer = {"class_path": "lightning.pytorch.callbacks.Timer"}
    one = {"trainer": {"callbacks+": [timer]}}
    assert merge(one) == {"trainer": {"callbacks": [timer]}}
    assert merge({"trainer": {"callbacks": [timer]}}, one) == {
        "trainer": {"callbacks": [timer] * 2}
    }


def test_another_class_keeps_options_of_the_same_name_and_drops_the_others(merge):
    sgd = {"class_path": "torch.optim.SGD", "init_args": {"momentum": 0.9}}
    later = {"model": {"init_args": {"optimizer": sgd}}}
    optimizer = merge({"model": CLASSIFIER}, later)["model"]["init_args"]["optimizer"]
    assert optimizer == {
        "class_path": "torch.optim.SGD", "init_args": {"lr": 0.5, "momentum": 0.9},
    }  # fmt: skip
    model = merge({"model": CLASSIFIER}, {"model": {"class_path": "lit_intriguing.models.Network"}})
    assert model["model"] == {"class_path": "lit_intriguing.models.Network", "init_args": {}}


def test_what_is_required_may_come_later(merge):
    model = {"class_path": "lit_intriguing.models.Classifier"}
    assert merge({"trainer": {"devices": 1}}, {"model": model}) == {
        "trainer": {"devices": 1}, "model": model,
    }  # fmt: skip


def test_a_misspelt_option_is_named(merge):
    wrong = {"model": {"init_args": {"widhts": [3]}}}
    with pytest.raises(UsageError, match=r"Classifier has no parameter 'widhts'. .* 'widths'\?"):
        merge({"model": CLASSIFIER}, wrong)
