import http.server
import threading

import pytest
from featpoison import downloads
from featpoison.downloads import DigestError, Source, obtain
from featpoison.provenance import sha256_bytes

CONTENT = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; misbehaves as told by the server's `plan`, one entry a request."""

    def do_GET(self):
        plan = self.server.plan.pop(0) if self.server.plan else "well"
        self.server.ranges.append(self.headers.get("Range"))
        if plan == "absent":
            return self.send_error(404)
        if plan == "beyond":
            return self.send_error(416)
        body, start = (CONTENT if plan != "wrong" else CONTENT[::-1]), 0
        if "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        body = body[start:]
        self.wfile.write(body[: len(body) // 2] if plan == "cut" else body)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv(downloads.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.plan, server.ranges = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def source(server, **changes):
    return Source(**{"url": f"http://127.0.0.1:{server.server_port}/archive.bin", "sha256": sha256_bytes(CONTENT), "size": len(CONTENT)} | changes)


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
    with pytest.raises(OSError, match="bytes free"):
        obtain(source(server, size=10**18), tmp_path)
    assert server.ranges == []


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
