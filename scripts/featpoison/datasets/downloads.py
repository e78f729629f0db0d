"""Fetching archives: from a mirror first, else from the official address.

Nothing is used before its digest is checked.

The digest is SHA-256 where one is published, else MD5. MD5 is enough against accidents and mistaken files,
but not against an attacker who can choose both files. Where nobody has published a digest, both are null in
the configuration. Then the first download logs the SHA-256 that it found and records it in the product's
provenance (trust on first use), and the audit lists the file as unverified.
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
from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from featpoison.common.files import replacing
from featpoison.common.progress import Progress
from featpoison.common.settings import Settings
from featpoison.records.provenance import ROOT, sha256_file

log = logging.getLogger(__name__)
MIRROR_VARIABLE = "FEATPOISON_MIRROR"
ATTEMPTS = 5  # in a row that bring no new bytes, before a download is given up
BLOCK = 1 << 20
TIMEOUT_SECONDS = 30  # without a byte, before a connection is dropped and a new one made


class DigestError(ValueError):
    """The bytes are not the expected ones. The message names both digests."""


class Source(Settings):
    """Where the bytes of a file come from, and how they are recognised."""

    path: str | None = None
    """A file of this repository, relative to its root (embedded data), or an absolute path; for image
    folders, the folder."""
    url: Annotated[str, Field(pattern=r"^(https?|ftp|file)://.*[^/]$")] | None = None
    """The official address. The last part of it is the name that is looked for in the mirror."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the file; null where it is unknown. With no MD5 either, the file is trusted on first use and
    reported as unverified."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """MD5 of the file, where its publisher gives one; it is weaker than SHA-256. Where both are given, both
    are checked."""
    size: PositiveInt | None = None
    """Bytes of the file, where known. A truncated file is then refused early, and the disk is checked for
    space."""
    mirror_names: tuple[str, ...] = ()
    """Other names under which a mirror may have the same contents in another container. They are used only
    where the members have digests."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            given = "both are given" if self.path else "neither is given"
            raise ValueError(f"'path' and 'url': {given}, expected exactly one of them")
        return self

    @property
    def published(self) -> bool:
        """Whether a digest from its publisher verifies it."""
        return self.sha256 is not None or self.md5 is not None


def check(path: Path, expected: str | None, md5: str | None = None) -> str:
    """The SHA-256 of a file, in hex.

    Raises DigestError where it is not `expected`, or where the file's MD5 is not `md5`, and
    FileNotFoundError. Where both are None, the digest is logged as unverified.
    """
    found = sha256_file(path)
    if expected is not None and found != expected:
        raise DigestError(f"{path}: sha256 is {found}, expected {expected}")
    if md5 is not None and (weak := _md5_file(path)) != md5:
        raise DigestError(f"{path}: md5 is {weak}, expected {md5}")
    if expected is None and md5 is None:
        log.warning(
            "%s: sha256 %s is unverified, no published digest is known; recorded on first use", path, found
        )
    return found


def _md5_file(path: Path) -> str:
    """Hex MD5 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def obtain(source: Source, folder: Path) -> tuple[Path, bool]:
    """A local file with the bytes of `source`, and whether it is the very file whose digest is published.

    Tried in this order: the repository's own path; the mirror in the folder that the environment variable
    FEATPOISON_MIRROR names; an earlier download in `folder`; the network. The second value is False for a
    mirror's file under another name: its members remain to be verified. Raises FileNotFoundError,
    DigestError, OSError where the download fails, naming what was tried, and ValueError where `source` has
    neither path nor address.
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
    seen = path.with_name(path.name + ".sha256")  # what the first use found, where no SHA-256 is published
    expected = source.sha256 or (seen.read_text().strip() if seen.is_file() else None)
    digest = check(path, expected, source.md5)
    if source.sha256 is None and not seen.is_file():
        with replacing(seen) as temporary:  # written half, no file would ever fit it
            temporary.write_text(digest + "\n")
    return path, True


def need_space(folder: Path, size: int, purpose: str) -> None:
    """Raises OSError where the disk of `folder` has less than `size` bytes free, which `purpose` needs."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{folder}: {free} bytes free, {size} needed for {purpose}")


def download(source: Source, path: Path) -> None:
    """Fetch `source.url` to `path`, which appears only once size and digest are right.

    An attempt that breaks off is resumed by the next. Only attempts that brought no new bytes are counted, so
    a line that drops again and again finishes in the end. Raises OSError after too many such attempts or
    where the disk is full, and DigestError.
    """
    url, part = str(source.url), path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt, reached = 0, _length(part)
    while True:
        try:
            _fetch(url, part, source.size)
            break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # another attempt would not help
                raise
            attempt = 1 if _length(part) > reached else attempt + 1
            reached = max(reached, _length(part))
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            if code == 416:  # the part is no beginning of what the server has
                part.unlink(missing_ok=True)
            if attempt == ATTEMPTS or code in (401, 403, 404, 410):
                raise OSError(
                    f"{url}: not downloaded after {attempt} attempts ({error}); "
                    f"put the file {path.name} into a folder and name that folder in {MIRROR_VARIABLE}"
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
    """Bytes of a part that was downloaded; 0 where there is none."""
    return part.stat().st_size if part.exists() else 0


def _fetch(url: str, part: Path, size: int | None) -> None:
    """Append to `part` what it lacks of `url`, whose size in bytes may be known.

    Raises OSError where fewer or more bytes arrive than were announced or are known.
    """
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
            while block := reply.read1(BLOCK):  # whatever has arrived, so that a stall loses nothing
                file.write(block)
                progress.advance(len(block))
    got = part.stat().st_size
    expected = size if size is not None else total
    if expected is not None and got != expected:
        if got > expected:
            part.unlink()
        raise OSError(f"{got} bytes arrived, expected {expected}")
