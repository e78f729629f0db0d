"""Write the JSON Schema of the configuration, each knob with its documentation, for editors and for
readers."""

import argparse
from pathlib import Path

from featpoison.config import schema


def main() -> None:
    """Typed configuration -> JSON Schema."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.parse_args().output.write_text(schema())


if __name__ == "__main__":
    main()
