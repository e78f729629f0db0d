"""Versions of code, kept from one start of Snakemake to the next: they take most of a second to compute."""

import atexit
import json
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from featpoison.common.files import replacing
from featpoison.records import provenance

FOLDER = provenance.ROOT / ".snakemake"


class Versions:
    """Versions by program and chosen modules, in a file that counts only while all code of this project has
    the same bytes."""

    def __init__(self, path: Path) -> None:
        """`path` is the file; there may be none yet."""
        self.path, self.sources = path, _all_code()
        self.known: dict[str, str] = {}
        self.kept = 0
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_text())
            if content["sources"] == self.sources:
                self.known = dict(content["versions"])
                self.kept = len(self.known)

    def of(self, program: str, *chosen: str) -> str:
        """`provenance.code_version` of a program in `scripts/` with the modules that it chooses by name."""
        name = " ".join((program, *chosen))
        if name not in self.known:
            files = [provenance.module_file(module) for module in chosen]
            self.known[name] = provenance.code_version(provenance.SCRIPTS / program, *files)
        return self.known[name]

    def keep(self) -> None:
        """Write the file, where there is something new and Snakemake has a folder."""
        if len(self.known) > self.kept and self.path.parent.is_dir():
            with suppress(OSError), replacing(self.path) as temporary:
                content = {"sources": self.sources, "versions": self.known}
                temporary.write_text(provenance.canonical_json(content))


def _all_code() -> str:
    """The digest of all modules and programs by their names, and of the Python that reads them."""
    files = sorted(provenance.SCRIPTS.rglob("*.py"))
    parts = [f"{path.relative_to(provenance.SCRIPTS)}\n".encode() + path.read_bytes() for path in files]
    return provenance.sha256_bytes(sys.version.encode(), *parts)


@cache
def kept() -> Versions:
    """Those of this repository; new ones are written when the process ends."""
    versions = Versions(FOLDER / "code_versions.json")
    atexit.register(versions.keep)
    return versions
