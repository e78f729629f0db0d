"""Fetching archives: a mirror first, then the official URL; nothing is used before its digest is checked.

A digest that nobody published is `None` in the configuration: the first download prints what it found and records it in the product's
provenance (trust on first use), and the audit lists it as unverified.
"""

import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from featpoison.files import replacing
from featpoison.progress import Progress
from featpoison.provenance import ROOT, sha256_file
from featpoison.settings import Settings

log = logging.getLogger(__name__)
MIRROR_VARIABLE = "FEATPOISON_MIRROR"
ATTEMPTS = 5
BLOCK = 1 << 20
TIMEOUT_SECONDS = 30


class DigestError(ValueError):
    """The bytes are not the expected ones; the message names both digests."""


class Source(Settings):
    """Where a file's bytes come from, and how they are recognised."""

    path: str | None = None
    """A file of this repository, relative to its root (embedded data)."""
    url: str | None = None
    """The official address; its last part is the name looked for in the mirror."""
    sha256: str | None = None
    """SHA-256 of the file; null: unknown, trusted on first use and reported as unverified."""
    size: int | None = None
    """Bytes, where known: refuses a truncated file early and checks the free disk."""
    mirror_names: tuple[str, ...] = ()
    """Other names under which a mirror may hold the same content in another container; used only where the members have digests."""


def check(path: Path, expected: str | None) -> str:
    """The file's SHA-256; raises DigestError when it differs from `expected`."""
    found = sha256_file(path)
    if expected is None:
        log.warning("%s: sha256 %s is unverified, no published digest is known; recorded on first use", path, found)
    elif found != expected:
        raise DigestError(f"{path}: sha256 is {found}, expected {expected}")
    return found


def obtain(source: Source, folder: Path) -> tuple[Path, bool]:
    """A local file holding `source`, and whether it is the pinned file itself (False: a mirror's repackaging, to be verified by member).

    Tried in order: the repository's own path; the mirror named by the environment variable FEATPOISON_MIRROR; an earlier download in
    `folder`; the network. Raises FileNotFoundError, DigestError or URLError, naming what was tried.
    """
    if source.path is not None:
        path = ROOT / source.path
        check(path, source.sha256)
        return path, True
    if source.url is None:
        raise ValueError("a source needs either 'path' or 'url'")
    name = source.url.rsplit("/", 1)[-1]
    mirror = os.environ.get(MIRROR_VARIABLE)
    if mirror:
        for candidate in (name, *source.mirror_names):
            path = Path(mirror) / candidate
            if path.is_file():
                log.info("using %s from the mirror", path.name)
                if candidate == name:
                    check(path, source.sha256)
                return path, candidate == name
        log.info("the mirror %s holds none of %s", mirror, [name, *source.mirror_names])
    path = folder / name
    if not path.is_file():
        download(source.url, path, sha256=source.sha256, size=source.size)
    seen = path.with_name(path.name + ".sha256")  # of the first use, where no digest is published
    digest = check(path, source.sha256 or (seen.read_text().strip() if seen.is_file() else None))
    if source.sha256 is None and not seen.is_file():
        seen.write_text(digest + "\n")
    return path, True


def download(url: str, path: Path, *, sha256: str | None, size: int | None) -> None:
    """Fetch `url` to `path`: resumable, several attempts, renamed into place only after size and digest agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if size is not None and free < size:
        raise OSError(f"{path.parent}: {free} bytes free, {size} needed for {url}")
    part = path.with_name(path.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch(url, part, size)
            break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 416:  # the part is no prefix of what the server has
                part.unlink(missing_ok=True)
            if attempt == ATTEMPTS or (isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410)):
                raise OSError(
                    f"{url}: not downloaded after {attempt} attempts ({error}); put the file {path.name} into a folder and name that "
                    f"folder in {MIRROR_VARIABLE}"
                ) from error
            log.warning("%s: attempt %d failed (%s), resuming", url, attempt, error)
            time.sleep(2**attempt / 4)
    try:
        check(part, sha256)
    except DigestError:
        part.unlink()
        raise
    with replacing(path) as temporary:
        os.replace(part, temporary)


def _fetch(url: str, part: Path, size: int | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:
        resumed = reply.status == 206
        length = reply.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else size
        progress = Progress(total or 0, "bytes", done=have if resumed else 0)
        with open(part, "ab" if resumed else "wb") as file:
            while block := reply.read(BLOCK):
                file.write(block)
                progress.advance(len(block))
    got = part.stat().st_size
    expected = size if size is not None else total
    if expected is not None and got != expected:
        if got > expected:
            part.unlink()
        raise OSError(f"{got} bytes arrived, expected {expected}")
