"""Full disks, folders that cannot be written to, inputs that vanish.

There is an error that names the file, and what was there before survives.
"""

import errno
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from disks import full_disk
from featpoison import store
from featpoison.common.files import NotWritten, replacing
from featpoison.encoders.encoder import save_encoder, save_weights
from featpoison.programs import output
from helpers import RECORD, ROOT

LARGE = 300_000


NOT_WRITTEN = r"not written \({}\); what was there before is as it was"


def write_store(path: Path, size: int) -> None:
    store.write(path, {"a": np.arange(size // 8), "b": np.arange(5)}, RECORD, seeds=[1, 2])


def write_weights(path: Path, size: int) -> None:
    save_weights(path, {"a": torch.zeros(size // 4)}, {})


def write_text(path: Path, size: int) -> None:
    output.write([path], RECORD, lambda place: place.write_text("x" * size) and None)


WRITERS = {"product.h5": write_store, "encoder.safetensors": write_weights, "table.csv": write_text}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("free", [0, 700, 100_000])
def test_a_full_disk_is_named_and_the_earlier_product_survives(tmp_path, name, free):
    path, write = tmp_path / name, WRITERS[name]
    write(path, 1000)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with (
        full_disk(free),
        pytest.raises(NotWritten, match=rf"{name}: {NOT_WRITTEN.format('File too large')}") as caught,
    ):
        write(path, LARGE)
    assert caught.value.errno == errno.EFBIG
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    write(path, LARGE)  # once there is space
    assert path.stat().st_size >= LARGE


def test_a_record_that_finds_no_space_leaves_the_earlier_file_and_record(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, 50)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with full_disk(100), pytest.raises(NotWritten, match=r"table\.csv\.provenance\.json: not written"):
        write_text(path, 60)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert len(before) == 2


def test_a_program_without_space_says_so_and_does_not_crash(tmp_path):
    """HDF5 by itself would end the process with a segmentation fault."""
    record = RECORD | {"environment": {"device": "cpu"}}
    store.write(tmp_path / "1.h5", {"a": np.arange(80_000)}, record)
    (tmp_path / "whole.h5").write_bytes(b"earlier")
    command = [
        sys.executable,
        "scripts/gather_shards.py",
        "--shards",
        tmp_path / "1.h5",
        "--",
        tmp_path / "whole.h5",
    ]
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (400_000, 400_000))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"gather_shards.py: error: [Errno 27] {tmp_path}/whole.h5: not written (File too large)"
    )
    assert (tmp_path / "whole.h5").read_bytes() == b"earlier"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1.h5", "whole.h5"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_is_none_is_named(tmp_path, name):
    """A file where the folder should be: root, whom permissions do not stop, cannot write there either."""
    (tmp_path / "data").write_text("mine")
    for path in (tmp_path / "data" / name, tmp_path / "data/deeper" / name):
        with pytest.raises(NotWritten, match=rf"{name}: not written \((File exists|Not a directory)\)"):
            WRITERS[name](path, 1000)
    assert (tmp_path / "data").read_text() == "mine"


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        (folder / "probe").touch()
    except PermissionError:
        with pytest.raises(NotWritten, match=rf"{name}: {NOT_WRITTEN.format('Permission denied')}"):
            WRITERS[name](folder / name, 1000)
    else:  # root: /proc refuses even root
        (folder / "probe").unlink()
        with pytest.raises(NotWritten, match=rf"{name}: not written"):
            WRITERS[name](Path("/proc") / name, 1000)
    finally:
        folder.chmod(0o755)
    assert list(folder.iterdir()) == []


def test_an_error_about_another_file_stays_what_it_is(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*absent'$"),
        replacing(tmp_path / "out"),
    ):
        (tmp_path / "absent").read_bytes()
    with pytest.raises(ConnectionResetError, match=r"^mine$"), replacing(tmp_path / "out"):
        raise ConnectionResetError("mine")


@pytest.mark.parametrize("program", ["extract_features", "gather_shards"])
def test_an_input_that_vanished_before_the_start_is_named(tmp_path, program):
    options = {
        "extract_features": ["--images", "gone.h5", "--encoder", "gone.safetensors"],
        "gather_shards": ["--shards", "gone.h5", "--"],
    }
    (tmp_path / "out.h5").write_bytes(b"earlier")
    command = [sys.executable, ROOT / f"scripts/{program}.py", *options[program], "out.h5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "gone.h5 does not exist" in done.stderr
    assert (tmp_path / "out.h5").read_bytes() == b"earlier"


def test_what_a_killed_writer_leaves_is_never_read(tmp_path, encoder):
    """Temporary files are named after the process; the next writer makes its own and does not look."""
    for name in (".encoder.safetensors.1.part", ".product.h5.1.part", ".table.csv.1.part.csv"):
        (tmp_path / name).write_bytes(b"half of it")
    save_encoder(tmp_path / "encoder.safetensors", encoder, RECORD)
    write_store(tmp_path / "product.h5", 1000)
    write_text(tmp_path / "table.csv", 1000)
    store.verify(tmp_path / "product.h5")
    assert (tmp_path / "table.csv").read_text() == "x" * 1000
    assert len(list(tmp_path.glob(".*.part*"))) == 3
