"""The files that attacks read, and programs as jobs run them."""

import runpy
import sys
from pathlib import Path

import pytest
from helpers import ROOT
from oracles.attack_files import write_files


@pytest.fixture(scope="session")
def files(tmp_path_factory, encoder, images) -> dict[str, Path]:
    """By need, of a small problem."""
    return write_files(tmp_path_factory.mktemp("files"), encoder, images)


@pytest.fixture
def execute(monkeypatch):
    """Run a program as a job does, without a new interpreter."""

    def run(program, *arguments):
        monkeypatch.setattr(sys, "argv", [f"scripts/{program}.py", *map(str, arguments)])
        monkeypatch.chdir(ROOT)
        runpy.run_path(f"scripts/{program}.py", run_name="__main__")

    return run
