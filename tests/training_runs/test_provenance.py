import pytest

import lit_intriguing
from lit_intriguing.training_runs import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that stands in for this one."""
    monkeypatch.setattr(lit_intriguing, "__file__", str(tmp_path / "__init__.py"))
    for name in ("__init__.py", "attacks/noise.py", "recipes/bench/step.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n")
    return tmp_path


def sources():
    return provenance.this_program.__wrapped__()["sources"]


def test_the_version_is_the_packages():
    assert provenance.this_program()["version"] == lit_intriguing.__version__


def test_a_changed_or_moved_source_changes_the_hash(package):
    first = sources()
    (package / "attacks/noise.py").write_text("x = 2\n")
    second = sources()
    (package / "attacks/noise.py").rename(package / "noise.py")
    assert len({first, second, sources()}) == 3


def test_scripts_beside_the_recipes_and_other_files_do_not(package):
    first = sources()
    (package / "recipes/bench/step.py").write_text("x = 2\n")
    (package / "py.typed").touch()
    assert sources() == first
