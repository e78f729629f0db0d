"""SHA-256 of many files: in parallel, and not twice of a file that has not changed since.

The memory is `data/.audit.json`, ignored by git: path -> size, time of modification and of status change in
nanoseconds, digest. Someone who changes a byte and sets all of these back is not noticed;
`Digests(full=True)` reads every byte again.
"""

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from featpoison.common.files import replacing
from featpoison.records import provenance

MEMORY = "data/.audit.json"
SETTLED_NS = 2_000_000_000  # a file younger than that may change again within one tick of its clock


class Digests:
    """The digests of files, by name relative to the repository."""

    def __init__(self, *, full: bool = False) -> None:
        """`full`: without what was remembered."""
        self.root = provenance.ROOT
        self._memory = self.root / MEMORY
        self._known = {} if full else self._load()
        self._changed = False
        self.read: set[str] = set()
        """Files whose bytes were read."""

    def of(self, names: Iterable[str]) -> dict[str, str | None]:
        """Hex digests; None where there is no such file."""
        names = sorted(set(names))
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return dict(zip(names, pool.map(self._digest, names), strict=True))

    def save(self) -> None:
        """Remember for the next time; where that is not possible, do without."""
        if not self._changed or not self._memory.parent.is_dir():
            return
        try:
            with replacing(self._memory) as temporary:
                temporary.write_text(json.dumps(self._known, indent=0, sort_keys=True) + "\n")
        except OSError:
            return

    def _digest(self, name: str) -> str | None:
        path = self.root / name
        if not path.is_file():
            return None
        state = _state(path)
        known = self._known.get(name)
        if known and known[:-1] == state:
            return known[-1]
        digest = provenance.sha256_file(path)
        self.read.add(name)
        if state == _state(path) and time.time_ns() - max(state[1:]) > SETTLED_NS:
            self._known[name] = [*state, digest]
            self._changed = True
        return digest

    def _load(self) -> dict[str, list]:
        try:
            known = json.loads(self._memory.read_text())
            return {name: entry for name, entry in known.items() if len(entry) == 4}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
