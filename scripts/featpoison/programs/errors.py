"""Errors as a user sees them: one line that names the program, the file or key, the value and what was
expected. What is a mistake of the code keeps its traceback."""

import atexit
import dis
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from featpoison.records.provenance import SCRIPTS

ALREADY_WORDS = (ValueError, OSError, FloatingPointError, LookupError)
"""What the library raises with a message for users. Of other types everything is a mistake of the code."""
Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def in_one_line() -> None:
    """From here on the running program ends over an error of a user's making with one line on standard error
    and exit code 1, and without the remarks that compilers make at their own end."""
    sys.excepthook = _hook(sys.excepthook)
    atexit.register(_end_quietly)


def line_of(error: BaseException) -> str | None:
    """The line for an error of a user's making; None for a mistake of the code.

    It is a user's where the operating system refuses a file, and where this project's code itself raises it.
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if not (isinstance(error, ALREADY_WORDS) and _is_raised_here(error)):
        return None
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(text).split())


def _end_quietly() -> None:
    """Close standard error where Triton is loaded: when the interpreter is gone, it prints a page about
    functions of its own that were not freed."""
    if any(name.startswith("triton.") for name in sys.modules):
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _is_raised_here(error: BaseException) -> bool:
    """Whether a `raise` of this project is where an error comes from, and not a library under it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or not Path(trace.tb_frame.f_code.co_filename).resolve().is_relative_to(SCRIPTS):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _hook(before: Hook) -> Hook:
    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        line = line_of(error)
        if line is None:
            before(kind, error, trace)
        else:
            print(f"{Path(sys.argv[0]).name}: error: {line}", file=sys.stderr)

    return hook
