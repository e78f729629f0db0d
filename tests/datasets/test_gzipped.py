"""Sizes of gzip files, and the space for their contents."""

import pytest
from archives import packed
from featpoison.datasets import gzipped


@pytest.mark.parametrize(
    ("packed_size", "size"),
    [
        (6_421_353_462, 262_144 * 96 * 96 * 3 + 2048),  # the training images, nearly incompressible
        (21_378, 262_144 + 2048),
        (10**6 + 400, 10**6),  # random bytes
        (10**10, 2 * 2**32 + 10**10 % 2**32),
    ],
)
def test_the_unpacked_size_is_known_beyond_4_gib(tmp_path, packed_size, size):
    path = tmp_path / "sparse.gz"
    with open(path, "wb") as file:
        file.truncate(packed_size)
        file.seek(packed_size - 4)
        file.write((size % 2**32).to_bytes(4, "little"))
    assert gzipped.unpacked_size(path) == size


def test_unpacking_looks_for_space_first(tmp_path, monkeypatch):
    path = packed(tmp_path / "a.gz", bytes(10**6))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 999})())
    with pytest.raises(OSError, match=r"999 bytes free, 1000000 needed for unpacking .*a\.gz"):
        gzipped.unpack(path, tmp_path / "a")
    assert not (tmp_path / "a").exists()
