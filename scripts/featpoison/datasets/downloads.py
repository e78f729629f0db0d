"""Fetching archives: a mirror first, then the official URL; nothing is used before its digest is checked.

SHA-256 where one is published, else MD5 where that is: enough against accidents and swapped files, not against an attacker who can choose
both files. Where nobody published a digest, both are `None` in the configuration: the first download prints what it found and records it in
the product's provenance (trust on first use), and the audit lists it as unverified.
"""

import errno
import hashlib
import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from featpoison.common.files import replacing
from featpoison.common.progress import Progress
from featpoison.common.settings import Settings
from featpoison.records.provenance import ROOT, sha256_file

log = logging.getLogger(__name__)
MIRROR_VARIABLE = "FEATPOISON_MIRROR"
ATTEMPTS = 5  # in a row that bring nothing new
BLOCK = 1 << 20
TIMEOUT_SECONDS = 30  # without a byte, before the connection is dropped and taken up again


class DigestError(ValueError):
    """The bytes are not the expected ones; the message names both digests."""


class Source(Settings):
    """Where a file's bytes come from, and how they are recognised."""

    path: str | None = None
    """A file of this repository, relative to its root (embedded data), or an absolute path; for image folders the folder."""
    url: str | None = None
    """The official address; its last part is the name looked for in the mirror."""
    sha256: str | None = None
    """SHA-256 of the file; null, with no MD5 either: unknown, trusted on first use and reported as unverified."""
    md5: str | None = None
    """MD5 of the file, where its publisher gives one; weaker than SHA-256. Where both are given, both are checked."""
    size: int | None = None
    """Bytes, where known: refuses a truncated file early and checks the free disk."""
    mirror_names: tuple[str, ...] = ()
    """Other names under which a mirror may hold the same content in another container; used only where the members have digests."""

    @property
    def published(self) -> bool:
        """Whether a digest of its publisher verifies it."""
        return self.sha256 is not None or self.md5 is not None


def check(path: Path, expected: str | None, md5: str | None = None) -> str:
    """The file's SHA-256; raises DigestError when it differs from `expected`, or the file's MD5 from `md5`."""
    found = sha256_file(path)
    if expected is not None and found != expected:
        raise DigestError(f"{path}: sha256 is {found}, expected {expected}")
    if md5 is not None and (weak := _md5_file(path)) != md5:
        raise DigestError(f"{path}: md5 is {weak}, expected {md5}")
    if expected is None and md5 is None:
        log.warning("%s: sha256 %s is unverified, no published digest is known; recorded on first use", path, found)
    return found


def _md5_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def obtain(source: Source, folder: Path) -> tuple[Path, bool]:
    """A local file holding `source`, and whether it is the pinned file itself (False: a mirror's repackaging, to be verified by member).

    Tried in order: the repository's own path; the mirror named by the environment variable FEATPOISON_MIRROR; an earlier download in
    `folder`; the network. Raises FileNotFoundError, DigestError or URLError, naming what was tried.
    """
    if source.path is not None:
        path = ROOT / source.path
        check(path, source.sha256, source.md5)
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
                    check(path, source.sha256, source.md5)
                return path, candidate == name
        log.info("the mirror %s holds none of %s", mirror, [name, *source.mirror_names])
    path = folder / name
    if not path.is_file():
        download(source, path)
    seen = path.with_name(path.name + ".sha256")  # of the first use, where no SHA-256 is published
    digest = check(path, source.sha256 or (seen.read_text().strip() if seen.is_file() else None), source.md5)
    if source.sha256 is None and not seen.is_file():
        with replacing(seen) as temporary:  # a kill must not leave an empty one, which no file would ever fit
            temporary.write_text(digest + "\n")
    return path, True


def need_space(folder: Path, size: int, purpose: str) -> None:
    """Raises OSError where the disk of `folder` has less than `size` bytes free for `purpose`."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{folder}: {free} bytes free, {size} needed for {purpose}")


def download(source: Source, path: Path) -> None:
    """Fetch `source.url` to `path`: resumable, several attempts, renamed into place only after size and digest agree.

    A line that drops again and again finishes in the end: only attempts that brought nothing beyond what was there before are counted.
    """
    url, part = str(source.url), path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt, reached = 0, _length(part)
    while True:
        try:
            _fetch(url, part, source.size)
            break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no attempt would mend it
                raise
            attempt = 1 if _length(part) > reached else attempt + 1
            reached = max(reached, _length(part))
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            if code == 416:  # the part is no prefix of what the server has
                part.unlink(missing_ok=True)
            if attempt == ATTEMPTS or code in (401, 403, 404, 410):
                raise OSError(
                    f"{url}: not downloaded after {attempt} attempts ({error}); put the file {path.name} into a folder and name that "
                    f"folder in {MIRROR_VARIABLE}"
                ) from error
            log.warning("%s: attempt %d failed (%s), resuming", url, attempt, error)
            time.sleep(2**attempt / 4)
    try:
        check(part, source.sha256, source.md5)
    except DigestError as error:
        part.unlink()
        raise DigestError(f"{url}: {error}") from None
    with replacing(path) as temporary:
        os.replace(part, temporary)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _fetch(url: str, part: Path, size: int | None) -> None:
    """Append to `part` what it lacks of `url`; OSError where fewer or more bytes arrive than were announced or are known."""
    have = _length(part)
    if size is not None:
        if have >= size:
            return
        need_space(part.parent, size - have, url)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:
        resumed = reply.status == 206
        begin = reply.headers.get("Content-Range")
        if resumed and begin and not begin.startswith(f"bytes {have}-"):
            part.unlink()
            raise OSError(f"the server resumes at {begin!r}, expected bytes {have}-")
        length = reply.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else size
        if total is not None:
            need_space(part.parent, total - (have if resumed else 0), url)
        progress = Progress(total or 0, "bytes", done=have if resumed else 0)
        with open(part, "ab" if resumed else "wb") as file:
            while block := reply.read1(BLOCK):  # what has arrived: a stall loses nothing
                file.write(block)
                progress.advance(len(block))
    got = part.stat().st_size
    expected = size if size is not None else total
    if expected is not None and got != expected:
        if got > expected:
            part.unlink()
        raise OSError(f"{got} bytes arrived, expected {expected}")
