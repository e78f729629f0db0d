"""Which Python the jobs run: that of Snakemake."""

import os
import sys
from pathlib import Path


def put_first() -> None:
    """Let jobs find the interpreter that runs Snakemake, and its environment, whatever the PATH is.

    A conda environment of a rule's own still comes before it: Snakemake activates it in the job's shell.
    """
    folder = str(Path(sys.executable).parent)
    known = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if known[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, *known])
