import os
import shutil
import sys
from pathlib import Path

from featpoison.graph import interpreter


def test_jobs_find_the_interpreter_of_snakemake(monkeypatch):
    for path in ("/nowhere", ""):
        monkeypatch.setenv("PATH", path)
        interpreter.put_first()
        assert shutil.which("python") == str(Path(sys.executable).parent / "python")
        assert os.environ["PATH"].endswith(path)
    before = os.environ["PATH"]
    interpreter.put_first()
    assert os.environ["PATH"] == before
    monkeypatch.delenv("PATH")
    interpreter.put_first()
    assert os.environ["PATH"].endswith(os.defpath)
