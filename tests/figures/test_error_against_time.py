"""The script `recipes/figures/error_against_time.py`."""

import importlib.util
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PATH = ROOT / "recipes" / "figures" / "error_against_time.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("error_against_time", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def logs(tmp_path):
    """Logs of two runs of two epochs, each validated twice and tested once."""
    for seed, error in enumerate((0.02, 0.03)):
        file = tmp_path / "logs" / f"seed{seed}" / "metrics.csv"
        file.parent.mkdir(parents=True)
        file.write_text(
            "epoch,step,test/error,train/loss,val/error\n"
            "0,4,,1.5,\n0,8,,,0.5\n1,12,,0.5,\n1,16,,,0.25\n"
            f"2,16,{error},,\n"
        )
    return tmp_path / "logs"


def test_the_test_errors_of_logs_stand_at_the_runs_length(script, logs):
    lengths, errors = script.curve(script.files_of(logs), "test/error")
    assert lengths.tolist() == [2]
    assert torch.allclose(errors, torch.tensor([[2.0], [3.0]]))


def test_validation_errors_stand_at_the_end_of_their_epoch(script, logs):
    lengths, errors = script.curve(script.files_of(logs), "val/error")
    assert lengths.tolist() == [1, 2]
    assert torch.allclose(errors, torch.tensor([[50.0, 25.0], [50.0, 25.0]]))


def test_a_table_of_results_gives_a_point_a_line_and_nan_where_a_seed_is_missing(script, tmp_path):
    table = tmp_path / "results.csv"
    table.write_text("epochs,seed,error\n60,0,0.01\n30,0,0.02\n30,1,0.04\n")
    lengths, errors = script.curve([table], "test/error")
    assert lengths.tolist() == [30, 60]
    expected = torch.tensor([[2.0, 1.0], [4.0, torch.nan]])
    assert torch.allclose(errors, expected, equal_nan=True)


def test_a_picture_is_written(script, logs, tmp_path):
    script.main([str(tmp_path / "error.png"), f"both={logs}", "--reference=1.2"])
    assert (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "neither the columns 'epochs' and 'error' nor"), (None, "no file")],
)
def test_a_file_that_gives_no_curve_is_named(script, content, message, tmp_path):
    file = tmp_path / "x.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit, match=message):
        script.main([str(tmp_path / "error.png"), f"x={file}"])
