"""How fast a core of this machine is, measured in seconds."""

import time

import torch

from featpoison.attacks.operations import to_pixels_and_back
from featpoison.common.precision import resolve
from featpoison.costs.plan import forward_flops
from featpoison.costs.rates import PASSES
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.encoder import Encoder
from featpoison.encoders.features import pull_back

ARCHITECTURE, SIDE, IMAGES = Architecture(width=16), 32, 50
"""Of the demo's encoder and of the blocks of its feature matching, which is most of its work."""


def speed(seconds: float = 2.0) -> float:
    """How many times as fast as a core of the machine of the rates (`rates.DEMO`) one core of this one is.

    Passes through an encoder to the pixels and back are timed for so many seconds of CPU time, on one thread.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    encoder = Encoder(ARCHITECTURE).freeze().fold_batchnorm()
    pixels, dtype = torch.rand(IMAGES, 3, SIDE, SIDE), resolve("auto", torch.device("cpu"))
    pull_back(pixels, lambda z: z, encoder, dtype)  # libraries choose their kernels at first use
    passes, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds or not passes:
        pull_back(pixels, lambda z: z, encoder, dtype)
        passes += 1
    torch.set_num_threads(threads)
    operations = passes * IMAGES * to_pixels_and_back(forward_flops(ARCHITECTURE, SIDE)[0])
    return operations / taken / PASSES.flops
