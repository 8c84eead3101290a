import pytest

from lit_intriguing.configuration.files import load_config, yaml_value
from lit_intriguing.errors import UsageError


def test_a_file_is_read_by_the_command_lines_rules(tmp_path):
    file = tmp_path / "base.yaml"
    file.write_text("lr: 1e-3\n")
    assert load_config(str(file)) == {"lr": 1e-3}


def test_a_shipped_file_and_text_in_braces_are_read_as_well():
    assert load_config("logger/csv")["trainer"]["logger"]
    assert load_config("{lr: 1e-3}") == {"lr": 1e-3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1\n", "base.yaml: expected keys and values, found a list"),
        (b"a: 1\nb: [\n", "base.yaml, line 3: not valid YAML"),
        (b"\0", "base.yaml: not a YAML text file"),
        (b"\xff\xff", "base.yaml: not a YAML text file"),
    ],
)
def test_what_is_no_mapping_is_refused(tmp_path, content, message):
    file = tmp_path / "base.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_config(str(file))


@pytest.mark.parametrize("content", ["", "# trainer: {max_epochs: 3}\n", "null\n"])
def test_a_file_without_keys_is_refused(tmp_path, content):
    (tmp_path / "empty.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"empty\.yaml is empty: it holds no keys and values"):
        load_config(str(tmp_path / "empty.yaml"))


def test_null_as_the_name_of_a_layer_is_refused_with_its_place(tmp_path):
    file = tmp_path / "layer.yaml"
    file.write_text("trainer: {callbacks: [{init_args: {layers: {null: {mix: 3}}}}]}\n")
    place = r"layer\.yaml: trainer\.callbacks\[0\]\.init_args\.layers has null as a key"
    with pytest.raises(UsageError, match=place):
        load_config(str(file))
    file.write_text(file.read_text().replace("null", '""'))  # as the message says
    assert load_config(str(file))["trainer"]


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no file 'nowhere"):
        load_config("nowhere.yaml")


def test_values_are_read_by_the_same_rules():
    assert yaml_value("[1e-3, true, Timer]") == [0.001, True, "Timer"]
