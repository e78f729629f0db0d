"""`snakemake --lint` over the demo's graph, which has to have no findings."""

import re
import subprocess
import sys


def main() -> int:
    command = [sys.executable, "-m", "snakemake", "--configfile", "workflow/config/demo.yaml", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    if done.returncode or re.search(r"^\s+\* ", text, flags=re.MULTILINE):
        print(text)
        return 1
    print("snakemake --lint: no findings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
