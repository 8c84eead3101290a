"""All callbacks on the hosts whose libraries are installed; see `table.py`."""

from functools import cache

import pytest

from tests.real_hosts.apart import row
from tests.real_hosts.cell import DEAD_END, FAULT, OK, WAY_OUT, Result
from tests.real_hosts.hosts import HOSTS, version_of

pytestmark = pytest.mark.hosts

_row = cache(row)
_INSTALLED = [name for name, host in HOSTS.items() if version_of(host.library)]


def _with(host: str, *verdicts: str) -> dict[str, Result]:
    return {name: one for name, one in _row(host).items() if one.verdict in verdicts}


@pytest.mark.parametrize("host", HOSTS)
def test_no_callback_has_a_fault_or_a_dead_end(host: str) -> None:
    library = HOSTS[host].library
    if not version_of(library):
        pytest.skip(f"{library} is not installed: pip install 'lit-intriguing[hosts]'")
    assert not _with(host, FAULT, DEAD_END)


def test_nine_tenths_of_the_hosts_can_be_trained_adversarially() -> None:
    worked = [host for host in _INSTALLED if {"input", "hidden"} & set(_with(host, OK, WAY_OUT))]
    assert len(worked) >= 0.9 * len(_INSTALLED), set(_INSTALLED) - set(worked)
