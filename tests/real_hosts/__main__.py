"""Print the table of hosts: `python -m tests.real_hosts`."""

import sys
from argparse import ArgumentParser

from tests.real_hosts.apart import SECONDS, row
from tests.real_hosts.cell import FAULT, Result
from tests.real_hosts.columns import COLUMNS
from tests.real_hosts.hosts import HOSTS, version_of
from tests.real_hosts.table import line, said, table


def main() -> None:
    """Run the hosts and columns that are asked for."""
    parser = ArgumentParser("python -m tests.real_hosts", description="Print the table of hosts.")
    parser.add_argument("part", nargs="*", help="part of the names of the hosts; all without")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of a cell")
    options = parser.parse_args()
    rows = {}
    for name, host in HOSTS.items():
        if options.part and not any(part in name for part in options.part):
            continue
        if not version_of(host.library):
            print(f"{name}: {host.library} is not installed", file=sys.stderr)
            continue
        rows[name] = row(name, options.columns, options.seconds)
        _progress(name, rows[name])
    print(table(rows))


def _progress(name: str, row: dict[str, Result]) -> None:
    """Print a host's line as soon as it is known, and where faults come from."""
    details = (one.details for one in row.values() if one.verdict == FAULT and one.details)
    told = [line(name, row), *said({name: row}), *details]
    print(*told, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
