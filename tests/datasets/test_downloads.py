import errno
import hashlib
import http.server
import shutil
import threading
import time

import pytest
from disks import full_disk
from featpoison.common.files import NotWritten
from featpoison.datasets import downloads
from featpoison.datasets.downloads import DigestError, Source, obtain
from featpoison.records.provenance import sha256_bytes

CONTENT = bytes(range(256)) * 5000


ERRORS = {"forbidden": 403, "absent": 404, "beyond": 416, "busy": 503}
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; misbehaves as told by the server's `plan`, one entry a request."""

    def do_GET(self):
        plan = self.server.plan.pop(0) if self.server.plan else "well"
        self.server.ranges.append(self.headers.get("Range"))
        if plan in ERRORS:
            return self.send_error(ERRORS[plan])
        if plan == "hang":  # not even a header
            return self.server.over.wait(10)
        body, start = (CONTENT if plan != "wrong" else CONTENT[::-1]), 0
        if "Range" in self.headers and plan != "whole":
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header(
                "Content-Range", f"bytes {start if plan != 'elsewhere' else 0}-{len(body) - 1}/{len(body)}"
            )
        else:
            self.send_response(200)
        body = body[start:]
        if plan != "unmeasured":
            self.send_header(
                "Content-Length", str(len(body) + {"too long": 99, "too short": -99}.get(plan, 0))
            )
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if plan in ("cut", "stall", "unmeasured") else body)
        if plan == "stall":
            self.server.over.wait(10)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv(downloads.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.plan, server.ranges, server.over = [], [], threading.Event()
    server.handle_error = lambda *args: None  # clients that hang up are what is tested
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def source(server, **changes):
    return Source(
        **{
            "url": f"http://127.0.0.1:{server.server_port}/archive.bin",
            "sha256": sha256_bytes(CONTENT),
            "size": len(CONTENT),
        }
        | changes
    )


def test_download_then_reuse(server, tmp_path):
    path, pinned = obtain(source(server), tmp_path)
    assert path.read_bytes() == CONTENT
    assert pinned
    obtain(source(server), tmp_path)
    assert len(server.ranges) == 1


def test_a_cut_connection_is_resumed(server, tmp_path):
    server.plan = ["cut", "cut"]
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-", f"bytes={3 * len(CONTENT) // 4}-"]


def test_a_line_that_drops_more_often_than_attempts_finishes(server, tmp_path):
    server.plan = ["cut"] * (downloads.ATTEMPTS + 3)
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT


@pytest.mark.parametrize("plans", [["well", "beyond"], ["well"], ["cut", "elsewhere"]])
def test_a_file_that_never_gets_whole_is_given_up(server, tmp_path, plans):
    """Shorter than its known size, or begun again and again."""
    server.plan = plans * 20
    with pytest.raises(OSError, match=f"after {downloads.ATTEMPTS} attempts"):
        obtain(source(server, size=len(CONTENT) + 10), tmp_path)
    assert len(server.ranges) <= downloads.ATTEMPTS + 2


@pytest.mark.parametrize("plan", ["stall", "hang"])
def test_a_stalled_connection_is_dropped_and_resumed(server, tmp_path, monkeypatch, plan):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.2)
    server.plan = [plan]
    begin = time.monotonic()
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT
    assert time.monotonic() - begin < 5
    assert server.ranges == [None, None if plan == "hang" else f"bytes={len(CONTENT) // 2}-"]


def test_a_server_that_hangs_every_time_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.05)
    server.plan = ["hang"] * 9
    with pytest.raises(
        OSError, match=rf"after {downloads.ATTEMPTS} attempts \(.*timed out.*FEATPOISON_MIRROR"
    ):
        obtain(source(server), tmp_path)
    assert len(server.ranges) == downloads.ATTEMPTS


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("plan", ["too long", "busy", "cut"])
def test_what_another_attempt_mends(server, tmp_path, plan, size):
    server.plan = [plan]
    assert obtain(source(server, size=size), tmp_path)[0].read_bytes() == CONTENT
    # All bytes of the known size are there.
    assert len(server.ranges) == 2 - (plan == "too long" and size is not None)
    assert list(tmp_path.iterdir()) == [tmp_path / "archive.bin"]


def test_a_length_too_short_is_mended_where_the_size_is_known(server, tmp_path):
    server.plan = ["too short"]
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges[1] == f"bytes={len(CONTENT) - 99}-"


@pytest.mark.parametrize("plan", ["too short", "unmeasured"])
def test_a_truncated_file_that_nothing_announced_is_refused_by_its_digest(server, tmp_path, plan):
    server.plan = [plan]
    part = CONTENT[:-99] if plan == "too short" else CONTENT[: len(CONTENT) // 2]
    with pytest.raises(DigestError, match=f"{sha256_bytes(part)}, expected {sha256_bytes(CONTENT)}"):
        obtain(source(server, size=None), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.plan = ["cut", "whole"]
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT


def test_a_server_that_resumes_elsewhere_is_asked_again_from_the_start(server, tmp_path):
    server.plan = ["cut", "elsewhere"]
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-", None]


def test_a_resumed_part_of_another_file_is_refused_and_dropped(server, tmp_path):
    (tmp_path / "archive.bin.part").write_bytes(CONTENT[::-1][:100])
    with pytest.raises(DigestError, match=f"expected {sha256_bytes(CONTENT)}"):
        obtain(source(server), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_published_md5_verifies_alone_and_beside_sha256(server, tmp_path, caplog):
    assert obtain(source(server, sha256=None, md5=MD5), tmp_path)[0].read_bytes() == CONTENT
    assert "unverified" not in caplog.text
    for changes in ({"sha256": None}, {}):
        with pytest.raises(DigestError, match=f"md5 is {MD5}, expected {'0' * 32}"):
            obtain(source(server, md5="0" * 32, **changes), tmp_path)
    assert source(server, sha256=None, md5=MD5).published
    assert not source(server, sha256=None).published


def test_a_part_that_does_not_fit_is_dropped(server, tmp_path):
    """A kill between the last byte and the rename, size unknown: the server has nothing beyond."""
    (tmp_path / "archive.bin.part").write_bytes(CONTENT)
    server.plan = ["beyond"]
    assert obtain(source(server, size=None), tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-", None]


def test_wrong_bytes_are_refused_with_both_digests(server, tmp_path):
    server.plan = ["wrong"]
    with pytest.raises(DigestError, match=f"{sha256_bytes(CONTENT[::-1])}, expected {sha256_bytes(CONTENT)}"):
        obtain(source(server), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT


def test_a_wrong_length_is_refused(server, tmp_path):
    with pytest.raises(OSError, match=f"{len(CONTENT)} bytes arrived, expected 7"):
        obtain(source(server, size=7), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_absent_file_says_what_to_do(server, tmp_path):
    server.plan = ["absent"] * 9
    with pytest.raises(OSError, match=r"after 1 attempts.*archive\.bin.*FEATPOISON_MIRROR"):
        obtain(source(server), tmp_path)


def test_a_full_disk_is_noticed_before(server, tmp_path):
    with pytest.raises(OSError, match="bytes free, 1000000000000000000 needed") as caught:
        obtain(source(server, size=10**18), tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert server.ranges == []


def test_a_full_disk_is_noticed_when_only_the_server_knows_the_size(server, tmp_path, monkeypatch):
    monkeypatch.setattr(
        downloads.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6 - 99, 99)
    )
    with pytest.raises(OSError, match=f"99 bytes free, {len(CONTENT)} needed"):
        obtain(source(server, size=None), tmp_path)
    assert len(server.ranges) == 1  # and no other attempt
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_needs_no_space(server, tmp_path, monkeypatch):
    (tmp_path / "archive.bin.part").write_bytes(CONTENT[:-50])
    monkeypatch.setattr(
        downloads.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6 - 99, 99)
    )
    assert obtain(source(server), tmp_path)[0].read_bytes() == CONTENT


def test_unknown_digest_is_recorded_aloud(server, tmp_path, caplog):
    obtain(source(server, sha256=None), tmp_path)
    assert sha256_bytes(CONTENT) in caplog.text
    assert "unverified" in caplog.text
    (tmp_path / "archive.bin").write_bytes(CONTENT[::-1])
    with pytest.raises(DigestError, match=f"expected {sha256_bytes(CONTENT)}"):
        obtain(source(server, sha256=None), tmp_path)


def test_mirror_comes_first_and_is_checked(server, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv(downloads.MIRROR_VARIABLE, str(mirror))
    (mirror / "other.bin").write_bytes(b"repackaged")
    assert obtain(source(server, mirror_names=("other.bin",)), tmp_path) == (mirror / "other.bin", False)
    (mirror / "archive.bin").write_bytes(b"tampered")
    with pytest.raises(DigestError, match="expected"):
        obtain(source(server, mirror_names=("other.bin",)), tmp_path)
    (mirror / "archive.bin").write_bytes(CONTENT)
    assert obtain(source(server), tmp_path) == (mirror / "archive.bin", True)
    assert server.ranges == []


def test_the_digest_of_a_first_download_appears_whole_or_not_at_all(tmp_path):
    """An empty one would refuse the file for ever."""
    (tmp_path / "encoder.bin").write_bytes(b"weights")
    source = downloads.Source(url="https://example.org/encoder.bin")
    with full_disk(3), pytest.raises(NotWritten, match=r"encoder\.bin\.sha256: not written"):
        downloads.obtain(source, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.bin"]
    assert downloads.obtain(source, tmp_path) == (tmp_path / "encoder.bin", True)
    assert downloads.obtain(source, tmp_path) == (tmp_path / "encoder.bin", True)  # now against the digest
