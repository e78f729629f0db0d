"""One finished toy run for all files of this folder, and for all workers."""

import pytest
from filelock import FileLock
from toy import Toy, make_toy


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Toy:
    """Everything that the toy declares, made. Workers share it, so whoever changes something takes a copy."""
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "finished"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            toy = make_toy(tmp_path_factory.mktemp("making"))
            toy.run()
            toy.folder.rename(shared)
    return Toy(shared)


@pytest.fixture
def copy(finished, tmp_path) -> Toy:
    """A copy of the finished run that a test may spoil: what a clone with shipped results is."""
    return finished.copied(tmp_path / "copy")
