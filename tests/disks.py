"""Disks that are full."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(free: int):
    """No file of this process can grow beyond `free` bytes, by a limit that the kernel keeps.

    To a writer this is a disk that is full there.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
