"""The way of a few examples through an attack: loss, distortion and success at each model call."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from lit_intriguing.attacks.watch import Trace
from lit_intriguing.figures.canvas import GREY, INK, PALETTE, new_figure
from lit_intriguing.tables import Cell

COLUMNS = ("example", "call", "loss", "distortion", "success")
"""Of `trace_rows`."""


def traces_figure(traces: Sequence[Trace], names: Sequence[str], *, title: str = "") -> Figure:
    """Draw loss and distortion of each example, and the share of examples that succeed.

    A dot marks where the criterion is met. The last point of a line is the attack's result.

    Args:
        traces: Of K examples.
        names: What they are called in the legend, K texts.
        title: Drawn above.

    Returns:
        The figure.

    Raises:
        ValueError: There is no trace, one has no call, or there are not K names.
    """
    if not traces or any(len(trace.loss) == 0 for trace in traces):
        raise ValueError("nothing to draw: no call of the model was seen")
    if len(names) != len(traces):
        raise ValueError(f"{len(names)} names for {len(traces)} examples")
    figure = new_figure(8.0, 3.1)
    loss, moved, share = figure.subplots(1, 3, width_ratios=[3, 3, 2])
    for number, (trace, name) in enumerate(zip(traces, names, strict=True)):
        colour = PALETTE[number % len(PALETTE)]
        style = "--" if number // len(PALETTE) % 2 else "-"
        calls = torch.arange(1, len(trace.loss) + 1)
        for axis, values in ((loss, trace.loss), (moved, trace.distortion)):
            axis.plot(calls, values, color=colour, linewidth=1, linestyle=style, label=name)
            axis.scatter(
                calls[trace.success], values[trace.success], s=7, color=colour, linewidths=0
            )
    _draw_shares(share, traces)
    for axis, text in (
        (loss, "loss that the attack decreases"),
        (moved, "distortion (RMS); dots: goal reached"),
        (share, "examples at their goal, %"),
    ):
        _finish(axis, text)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    handles, labels = loss.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=8, fontsize=7, frameon=False,
        handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    return figure


def success_so_far(traces: Sequence[Trace]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the shares of examples at their goal, in [0, 1], at each number of calls.

    Args:
        traces: Of K examples, with at most T calls each.

    Returns:
        At that call, an example whose attack has ended standing as it ended, and at that call or
        an earlier one, `(T,)` each.

    Examples:
        >>> no, yes = torch.tensor([False, True]), torch.tensor([True])
        >>> traces = [Trace(0, no, no, no), Trace(1, yes, yes, yes)]
        >>> now, ever = success_so_far(traces)
        >>> now.tolist(), ever.tolist()
        ([0.5, 1.0], [0.5, 1.0])
    """
    most = max(len(trace.success) for trace in traces)
    rows = [
        torch.cat([one.success, one.success[-1:].expand(most - len(one.success))]) for one in traces
    ]
    now = torch.stack(rows).double()
    return now.mean(0), now.cummax(1).values.mean(0)


def _draw_shares(axis: Axes, traces: Sequence[Trace]) -> None:
    now, ever = success_so_far(traces)
    calls = range(1, len(now) + 1)
    axis.plot(calls, 100 * ever, color=GREY, linewidth=1, linestyle="--", label="so far")
    axis.plot(calls, 100 * now, color=PALETTE[2], linewidth=1.4, label="at this call")
    axis.set_ylim(-4, 104)
    axis.legend(frameon=False, fontsize=7, loc="lower right")


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=8, color=INK, loc="left")
    axis.set_xlabel("call of the model", fontsize=8, color=INK)
    axis.tick_params(labelsize=7)
    axis.grid(color=GREY, alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def trace_rows(traces: Sequence[Trace]) -> list[list[Cell]]:
    """Return a row for each call: `COLUMNS`."""
    return [
        [trace.example, call, *numbers, str(bool(success))]
        for trace in traces
        for call, (*numbers, success) in enumerate(
            zip(
                trace.loss.tolist(), trace.distortion.tolist(), trace.success.tolist(), strict=True
            ),
            1,
        )
    ]


def trace_names(
    traces: Sequence[Trace], columns: Mapping[str, Tensor], names: Sequence[str] | None = None
) -> list[str]:
    """Return what the examples are called: number, label, and prediction after the attack.

    Args:
        traces: Of examples by their numbers.
        columns: `labels` and `adversarial_predictions`, of all.
        names: Of the classes; None for their numbers.
    """

    def named(column: str, number: int) -> str:
        label = int(columns[column][number])
        return str(label) if names is None or label >= len(names) else names[label]

    return [
        f"{one.example}: {named('labels', one.example)} → "
        f"{named('adversarial_predictions', one.example)}"
        for one in traces
    ]
