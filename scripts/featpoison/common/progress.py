"""Progress of long work, in the log: how much is done, how fast, how long it still takes."""

import logging
import time

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 10.0


class Progress:
    """Counts units of work and logs at most every ten seconds."""

    def __init__(self, total: int, unit: str, done: int = 0) -> None:
        """`total` units to do (0: unknown), of which `done` were done by an earlier run."""
        self.total, self.unit, self.done = total, unit, done
        self._earlier = done
        self._start = self._last = time.monotonic()

    def advance(self, amount: int, note: str = "") -> None:
        """Count `amount` more units; `note` says what else a reader of the log would want to know."""
        self.done += amount
        now = time.monotonic()
        if now - self._last < INTERVAL_SECONDS and self.done != self.total:
            return
        self._last = now
        rate = (self.done - self._earlier) / max(now - self._start, 1e-9)
        remaining = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        share = f" of {self.total} ({100 * self.done / self.total:.0f} %)" if self.total else ""
        log.info("%d%s %s, %.4g a second%s%s", self.done, share, self.unit, rate, remaining, f"; {note}" if note else "")
