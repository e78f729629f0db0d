"""`--sdm conda` as far as a machine without conda goes: with one that only notes what it is asked for, and
makes environments whose interpreter is this one."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, environment
from toy import PROFILE, make_toy

FEATURES = "data/features/toy/tiny.h5"
CONDA = """#!/bin/sh
echo "in $PWD: $@" >> {noted}/calls
case "$*" in
  "info --json") echo '{{"conda_prefix": "{folder}", "platform": "linux-64"}}';;
  --version) echo "conda 25.1.1";;
  "config --get channel_priority --json") echo '{{"get": {{"channel_priority": "strict"}}}}';;
  "env create "*)
    while [ "$1" != --prefix ]; do shift; done
    mkdir -p "$2/bin"
    printf '#!/bin/sh\\necho "$1" >> {noted}/programs\\nexec {python} "$@"\\n' > "$2/bin/python"
    chmod +x "$2/bin/python";;
  "clean "*) ;;
  *) exit 1;;
esac
"""
ACTIVATE = 'PATH="$1/bin:$PATH"\n'


@pytest.fixture
def conda(tmp_path) -> Path:
    """The folder of an installation: `bin/conda`, and what it noted."""
    programs = tmp_path / "conda/bin"
    programs.mkdir(parents=True)
    text = CONDA.format(noted=tmp_path / "conda", folder=tmp_path / "conda", python=sys.executable)
    (programs / "conda").write_text(text)
    (programs / "conda").chmod(stat.S_IRWXU)
    (programs / "activate").write_text(ACTIVATE)
    return tmp_path / "conda"


def test_every_rule_that_runs_a_program_names_the_environment():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        programs, named = len(re.findall(r"^ +shell:", text, re.MULTILINE)), text.count("environment.yml")
        assert programs == named, path


@pytest.mark.slow
def test_jobs_run_in_the_environment_of_environment_yml(conda, tmp_path):
    """Which conda makes once, from a copy of that file, in the folder where the requirements are."""
    toy = make_toy(tmp_path / "toy", plain=True)
    variables = environment(FEATPOISON_WARM="0", PATH=f"{conda}/bin:{os.environ['PATH']}")
    command = [sys.executable, "-m", "snakemake", "--configfile", "toy.yaml", *PROFILE, "--sdm", "conda"]
    done = subprocess.run(
        [*command, "--cores", "1", "--", FEATURES],
        cwd=toy.folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    made = [line for line in (conda / "calls").read_text().splitlines() if " env create " in line]
    assert len(made) == 1
    assert made[0].startswith(f"in {toy.folder}: ")  # where ${PWD}/requirements.txt is
    copy = re.search(r"--file (\S+)", made[0])[1]
    assert Path(copy).read_bytes() == (ROOT / "environment.yml").read_bytes()
    assert "${PWD}/requirements.txt" in Path(copy).read_text()
    ran = (conda / "programs").read_text().split()
    steps = ("extract_features", "fetch_dataset", "import_encoder")
    assert sorted(ran) == [f"scripts/{name}.py" for name in steps]
    assert (toy.folder / FEATURES).is_file()
