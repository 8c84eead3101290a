"""The private parts of jsonargparse: what a user sees of each, where it fails."""

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from lit_intriguing.private import of_jsonargparse


@pytest.fixture
def parser():
    one = ArgumentParser(exit_on_error=False)
    one.add_argument("--config", action=of_jsonargparse.config_file_action(lambda name: name))
    one.add_argument("--size", type=int, default=1)
    one.add_argument("--names", type=dict[str, int])
    return one


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.yaml").write_text("size: 2\nnames: {x: 1}\n")
    (tmp_path / "b.yaml").write_text("names: {y: 2}\n")
    return [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]


def test_a_configuration_is_found_by_a_name_of_ours(parser, files):
    finder = ArgumentParser(exit_on_error=False)
    finder.add_argument(
        "--config", action=of_jsonargparse.config_file_action({"short": files[0]}.__getitem__)
    )
    finder.add_argument("--size", type=int)
    finder.add_argument("--names", type=dict[str, int])
    assert finder.parse_args(["--config", "short"]).size == 2, (
        "`lightning fit --config` finds shipped recipes by ActionConfigFile.apply_config"
    )


def test_files_are_merged_as_the_option_config_merges_them(parser, files):
    merged = of_jsonargparse.merge_files(parser, files).as_dict()
    assert merged == {"size": 2, "names": {"y": 2}}, (
        "recipes of several files in `lightning transfer`, `probe` and `ablate` are merged by "
        "ActionConfigFile.apply_config"
    )
    whole = parser.parse_args([f"--config={file}" for file in files]).as_dict()
    assert {key: whole[key] for key in merged} == merged
    assert of_jsonargparse.merge_files(parser, []).as_dict() == {}


def test_the_options_of_a_parser_are_listed(parser):
    assert {"size", "names", "config"} <= set(of_jsonargparse.option_names(parser)), (
        "the message for a misspelt option finds the right spelling among `_actions`"
    )


def test_the_parser_of_a_subcommand_is_found(parser):
    program = ArgumentParser(exit_on_error=False)
    assert of_jsonargparse.parser_of_subcommand(program, ["fit"]) is None
    program.add_subcommands().add_subcommand("fit", parser)
    found = of_jsonargparse.parser_of_subcommand(program, ["--x", "fit", "--size=3"])
    assert found is parser, (
        "the message for a misspelt option of `lightning fit` finds the subcommand's options by "
        "`_subcommands_action`"
    )
    assert of_jsonargparse.parser_of_subcommand(program, ["test"]) is None


def test_options_left_out_of_the_help_are_taken_as_before(parser):
    assert "--size" in parser.format_help()
    of_jsonargparse.leave_out_of_help(parser, ["size"])
    assert "--size" not in parser.format_help(), (
        "`lightning attack --help.all` leaves out what belongs to `fit` by the `help` of `_actions`"
    )
    assert parser.parse_args(["--size=3"]).size == 3


def test_an_error_remembers_which_file_it_came_from(parser, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("size: ten")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--size", type=int)
    parser.add_argument("--config", action=of_jsonargparse.config_file_action(str))
    with pytest.raises(ArgumentError) as refused:
        parser.parse_args(["--config", str(file)])
    assert of_jsonargparse.file_of(refused.value) == str(file), (
        "messages name the file by the exception that ActionConfigFile lets through"
    )
    with pytest.raises(ArgumentError) as refused:
        parser.parse_args(["--config", "{size: ten}"])
    assert of_jsonargparse.file_of(refused.value) is None
