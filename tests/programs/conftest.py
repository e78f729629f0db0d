"""The files that attacks read."""

from pathlib import Path

import pytest
from oracles.attack_files import write_files


@pytest.fixture(scope="session")
def files(tmp_path_factory, encoder, images) -> dict[str, Path]:
    """By need, of a small problem."""
    return write_files(tmp_path_factory.mktemp("files"), encoder, images)
