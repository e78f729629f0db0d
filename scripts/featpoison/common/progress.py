"""Progress of long work in the log: how much is done, how fast it goes, and how long the rest will take."""

import logging
import time

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 10.0


class Progress:
    """Counts units of work, and writes a line to the log every ten seconds at most, and one at the end."""

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        """Starts the clock.

        `total` units are to be done, of which `done` were done by an earlier run; a `total` of 0 means that
        it is unknown. `unit` is the name of the units, in the plural.
        """
        self.total, self.unit, self.done = total, unit, done
        self._earlier = done
        self._start = self._last = time.monotonic()

    def advance(self, amount: int, note: str = "") -> None:
        """Count `amount` more units. `note` is appended to the line in the log, where there is one."""
        self.done += amount
        now = time.monotonic()
        if now - self._last < INTERVAL_SECONDS and self.done != self.total:
            return
        self._last = now
        rate = (self.done - self._earlier) / max(now - self._start, 1e-9)
        remaining = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        share = f" of {self.total} ({100 * self.done / self.total:.0f} %)" if self.total else ""
        log.info(
            "%d%s %s, %.4g a second%s%s",
            self.done,
            share,
            self.unit,
            rate,
            remaining,
            f"; {note}" if note else "",
        )
