"""Which measurements of a run are drawn and stored: not all of many."""

import math
from collections.abc import Callable

from lit_intriguing.checks import check_whole

MOST = 20
"""Measurements drawn of a run, at most, besides the last one, where nothing else was asked for."""
WITHOUT_END = 10
"""From one drawn measurement to the next in a run without an end."""


class Drawing:
    """Draws the first measurement of a run, each n-th one, and the last.

    Args:
        every: Measurements from one that is drawn to the next; None for at most `MOST` of a run.

    Raises:
        ValueError: It is less than 1.
    """

    def __init__(self, who: str, every: int | None) -> None:
        if every is not None:
            check_whole(who, 1, draw_every=every)
        self.every = every
        self._drawn: int | None = None
        self._waiting: Callable[[], None] | None = None

    def clear(self) -> None:
        """Begin a run."""
        self._drawn = self._waiting = None

    def offer(self, number: int, total: int | None, draw: Callable[[], None]) -> None:
        """Draw a measurement if it is its turn; else keep it, in case it is the last one.

        Args:
            number: Of the measurement in the run, from 0; a resumed run goes on counting. More
                than one may have a number, as where an epoch is validated several times: the first
                is drawn.
            total: Measurements in the run; None if it has no end.
            draw: Draws it and hands it to files and loggers.
        """
        every = self.every or (WITHOUT_END if total is None else max(1, math.ceil(total / MOST)))
        self._waiting = draw
        if number % every == 0 and number != self._drawn:
            self._drawn = number
            self.finish()

    def finish(self) -> None:
        """Draw the last measurement, if that has not been done."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting()
