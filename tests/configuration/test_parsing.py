"""The rules of docs/configuration.md, for the commands of several runs."""

import pytest
import yaml

from lit_intriguing.configuration.parsing import parsed
from lit_intriguing.errors import UsageError
from tests.configuration.choices import Study

CHOICES = "tests.configuration.choices"
CIRCLE = {"class_path": f"{CHOICES}.Circle", "init_args": {"size": 5, "centre": 6}}


@pytest.fixture
def read(tmp_path):
    """Parses configurations, merged in their order, and options."""

    def parse(*contents, options=()):
        files = []
        for number, content in enumerate(contents):
            file = tmp_path / f"{number}.yaml"
            file.write_text(yaml.safe_dump(content))
            files.append(f"--config={file}")
        return parsed(Study, "study", [*files, *options]).as_dict()

    return parse


def test_another_class_keeps_the_options_of_the_same_name_and_drops_the_others(read):
    square = {"class_path": f"{CHOICES}.Square", "init_args": {"angle": 0.5}}
    for later in (square, f"{CHOICES}.Square"):
        shape = read({"shape": CIRCLE}, {"shape": later})["shape"]
        assert shape["class_path"] == f"{CHOICES}.Square"
        assert shape["init_args"]["size"] == 5
        assert "centre" not in shape["init_args"]


def test_an_option_whose_value_does_not_suit_the_other_class_is_dropped(read):
    shape = read({"shape": CIRCLE}, {"shape": f"{CHOICES}.Word"})["shape"]
    assert shape["init_args"] == {"size": "large"}


def test_options_on_the_command_line_follow_the_same_rule(read):
    options = [f"--shape={CHOICES}.Square", "--shape.angle=1.5"]
    assert read({"shape": CIRCLE}, options=options)["shape"]["init_args"] == {
        "size": 5, "angle": 1.5, "inner": None,
    }  # fmt: skip


def test_the_class_may_be_left_out_later(read):
    for later in ({"init_args": {"size": 7}}, {"size": 7}):
        init_args = read({"shape": CIRCLE}, {"shape": later})["shape"]["init_args"]
        assert (init_args["size"], init_args["centre"]) == (7, 6)


def test_a_dictionary_is_replaced_but_entries_of_the_same_name_are_merged(read):
    entries = read({"entries": {"a": {"weight": 5}, "b": {}}}, {"entries": {"a": {"height": 3}}})
    assert entries["entries"] == {"a": {"weight": 5, "height": 3}}
    assert read({"free": {"a": 1}}, {"free": {"b": 2}})["free"] == {"b": 2}


def test_a_plus_appends_to_a_list(read):
    word = {"class_path": f"{CHOICES}.Word"}
    shapes = read({"shapes": [CIRCLE]}, {"shapes+": [word]}, {"shapes+": word})["shapes"]
    assert [one["class_path"].rpartition(".")[2] for one in shapes] == ["Circle", "Word", "Word"]


MISTAKES = {
    "a key of an entry": (
        [{"entries": {"a": {"wieght": 1}}}],
        "entries.a: Entry has no parameter 'wieght'. Did you mean 'weight'?",
    ),
    "an option of the class given before": (
        [{"shape": CIRCLE}, {"shape": {"init_args": {"centr": 1}}}],
        "shape.init_args: Circle has no parameter 'centr'. Did you mean 'centre'?",
    ),
    "an option of a class within, given before": (
        [
            {"shape": {"class_path": CIRCLE["class_path"], "init_args": {"inner": CIRCLE}}},
            {"shape": {"init_args": {"inner": {"init_args": {"siez": 1}}}}},
        ],
        "shape.init_args.inner.init_args: Circle has no parameter 'siez'. Did you mean 'size'?",
    ),
    "a value, where the class has changed": (
        [
            {"shape": CIRCLE},
            {"shape": {"class_path": f"{CHOICES}.Square", "init_args": {"angle": "x"}}},
        ],
        "shape (Square.angle): expected float, got 'x'.",
    ),
    "a class": (
        [{"shape": f"{CHOICES}.Cirle"}],
        "Did you mean 'tests.configuration.choices.Circle'?",
    ),
    "a key": ([{"shap": CIRCLE}], "no option 'shap'. Did you mean 'shape'?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_the_right_spelling(read, mistake):
    contents, message = MISTAKES[mistake]
    with pytest.raises(UsageError) as refused:
        read(*contents)
    assert message in str(refused.value)
