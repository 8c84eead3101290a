import subprocess
import sys
from pathlib import Path

import pytest

from lit_intriguing.errors import UserError
from lit_intriguing.splits import locks

OTHER = """
import sys
from pathlib import Path
from lit_intriguing.splits import locks
locks.hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"another run works in .*: wait for its end"):
            locks.hold(tmp_path)
        other.stdin.close()
        other.wait(60)
    # It ended without leaving the folder, as a run that is killed.
    locks.hold(tmp_path)
    locks.release_all()


def test_the_same_process_may_take_a_folder_again_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    locks.hold(tmp_path)
    locks.hold(tmp_path / ".")
    assert (tmp_path / locks.NAME).exists()
    locks.release_all()
    assert list(tmp_path.iterdir()) == []
    locks.release_all()
