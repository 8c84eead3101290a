"""One cell of the table: a callback on a host, and the way out that its refusal names."""

import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lit_intriguing.errors import UserError
from tests.real_hosts.columns import COLUMNS
from tests.real_hosts.host import Build
from tests.real_hosts.running import Run, built, train

OK, WAY_OUT, DEAD_END, FAULT = "ok", "way out", "dead end", "fault"


ANOTHER = "AdversarialExamples(layer="
"""In a refusal of `TransferEvaluation`: the callback that does it for a layer."""


@dataclass(frozen=True)
class Result:
    """What came of a cell.

    Attributes:
        verdict: `OK`; `WAY_OUT` (refused, and what the refusal names works); `DEAD_END` (refused,
            and nothing that it names works); `FAULT`.
        message: The refusal, or what is wrong.
        details: Where an unexpected error comes from, and what it was.
    """

    verdict: str
    message: str = ""
    details: str = ""


def bare(build: Build) -> Run:
    """Train a host without a callback."""
    with tempfile.TemporaryDirectory() as folder:
        return train(built(build), [], Path(folder))


def cell(build: Build, name: str, without: Run) -> Result:
    """Run a callback on a host; where it is refused, take the way out.

    Args:
        build: Builds the host.
        name: Of the column.
        without: The run without a callback.
    """
    first = _attempt(build, name, without, {})
    if first.verdict != DEAD_END:
        return first
    host = built(build)
    if name in host.without:
        return _done_without(host.without[name], first)
    if name == "transfer" and ANOTHER in first.message:
        there = _attempt(build, "examples", without, {"layer": host.hidden})
        return replace(first, verdict=WAY_OUT if there.verdict == OK else there.verdict)
    known = {**host.known, **host.of_column.get(name, {})}
    return _on_ways_out(build, name, without, first, known)


def _on_ways_out(
    build: Build, name: str, without: Run, first: Result, known: Mapping[str, Any]
) -> Result:
    """Give the options that the refusals name, as long as they name more."""
    last, given = first, dict[str, Any]()
    known = {one: value for one, value in known.items() if one in COLUMNS[name].options}
    while last.verdict == DEAD_END:
        new = [one for one in known if one not in given and one in last.message.lower()]
        if not new:
            tried = f"With {given}: {last.message}" if given else ""
            return Result(DEAD_END, first.message, tried)
        given |= {one: known[one] for one in new}
        last = _attempt(build, name, without, given)
    if last.verdict == FAULT:
        return Result(FAULT, f"with {given}: {last.message}", last.details)
    return Result(WAY_OUT, first.message)


def _attempt(build: Build, name: str, without: Run, options: Mapping[str, Any]) -> Result:
    try:
        with tempfile.TemporaryDirectory() as folder:
            fault = _run(build, name, without, options, Path(folder))
    except UserError as error:
        return Result(DEAD_END, f"{type(error).__name__}: {error}")
    except Exception as error:
        return Result(FAULT, f"{type(error).__name__}: {error}", end_of(error))
    return Result(FAULT, fault) if fault else Result(OK)


def _run(build: Build, name: str, without: Run, options: Mapping[str, Any], folder: Path) -> str:
    """Say what is wrong with a run; empty if nothing is."""
    column = COLUMNS[name]

    def callback(host: Any) -> Any:
        return column.make(host, lambda: built(build), folder, options)

    host = built(build)
    fault = column.fault(without, train(host, [callback(host)], folder))
    return fault or (_resumed(build, callback, without, folder) if name == "resume" else "")


def _resumed(build: Build, callback: Any, without: Run, folder: Path) -> str:
    """Stop after an epoch and go on; exact, or it was said that it would not be."""
    host, saved = built(build), folder / "first.ckpt"
    train(host, [callback(host)], folder, epochs=1, saved=saved)
    host = built(build)
    again = train(host, [callback(host)], folder, checkpoint=saved)
    told = any("ExactResume" in text for text in again.told)
    exact = again.weights == without.weights
    return "" if exact or told else "the resumed run differs, and nothing is said"


def _done_without(build: Build, refused: Result) -> Result:
    try:
        bare(build)
    except Exception as error:
        return Result(DEAD_END, refused.message, f"As it says: {type(error).__name__}: {error}")
    return Result(WAY_OUT, refused.message)


def end_of(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    return "".join(lines).strip()[-1500:]
