"""Benchmarks of the library: each against a baseline in the same run, and against what the machine can do at most.

Ratios carry over between machines better than seconds do; shares of the peak say how much is left to win.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from featpoison import softmax
from featpoison.attacks.feature_matching import FeatureMatching, match
from featpoison.convex import Converged, objective, train_converged
from featpoison.encoders.encoder import Architecture, Encoder
from featpoison.mixture import Mixture
from featpoison.precision import resolve
from featpoison.softmax import Head


@dataclass(frozen=True)
class Peak:
    """What the device reaches at most in this process: large matrix products and memory traffic."""

    flops: dict[torch.dtype, float]
    """Floating-point operations a second, by type."""
    bytes: float
    """Bytes a second read and written by a large copy."""


@dataclass(frozen=True)
class Result:
    """One benchmark: seconds of ours and of the baseline for the same work, and ours as a share of the peak that binds."""

    name: str
    ours: str
    baseline: str
    seconds: float
    baseline_seconds: float
    gflops: float
    """Achieved 1e9 operations a second, counted from the formula."""
    gbytes: float
    """Achieved 1e9 bytes a second of what has to be moved at least: operands read once, results written once."""
    share_of_peak: float
    agreement: float
    """How far the two results differ: relative to the baseline's largest entry, for victims the difference of the objectives."""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.baseline_seconds / self.seconds


def best_time(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of the fastest of `repeats` runs after one warm-up: the least disturbed one."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def measure_peak(device: torch.device, side: int = 1536) -> Peak:
    """The peak of the device with the threads that torch has now."""
    flops = {}
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        a = torch.randn(side, side, device=device).to(dtype)
        flops[dtype] = 2 * side**3 / best_time(partial(torch.mm, a, a), 3)
    b = torch.empty(32 << 20, device=device)  # 128 MiB, beyond any cache
    return Peak(flops=flops, bytes=2 * b.nbytes / best_time(b.clone))


def _share(flops: float, moved: float, dtype: torch.dtype, seconds: float, peak: Peak) -> float:
    """Time that the binding limit alone would take, over the time taken."""
    return max(flops / peak.flops[dtype], moved / peak.bytes) / seconds


def canceling(device: torch.device, peak: Peak, *, N: int = 5000, n: int = 150, d: int = 128, classes: int = 10) -> Result:
    """Closed-form canceling step against a float64 double backward that recomputes the clean gradient, as public code does."""
    generator = torch.Generator().manual_seed(0)
    X, Z = torch.randn(N, d, generator=generator).to(device), torch.randn(n, d, generator=generator).to(device)
    labels, own = (torch.randint(classes, (rows,), generator=generator).to(device) for rows in (N, n))
    head = Head(weight=torch.randn(classes, d, generator=generator).to(device), bias=torch.zeros(classes, device=device))
    G = softmax.head_gradient(X, labels, head)
    X64, Z64, omega = X.double(), Z.double(), head.omega.double()

    def gradient(features: Tensor, targets: Tensor, leaf: Tensor) -> Tensor:
        value = F.cross_entropy(features @ leaf[:, :-1].T + leaf[:, -1], targets, reduction="sum")
        return torch.autograd.grad(value, leaf, create_graph=True)[0]

    def double_backward() -> Tensor:
        leaf, zeta = omega.requires_grad_(True), Z64.clone().requires_grad_(True)
        loss = 0.5 * (gradient(X64, labels, leaf).detach() + gradient(zeta, own, leaf)).square().sum()
        return torch.autograd.grad(loss, zeta)[0]

    ours = softmax.canceling_step(Z, own, head, G)[1]
    theirs = double_backward()
    seconds = best_time(lambda: softmax.canceling_step(Z, own, head, G), 50)
    flops = 10 * n * d * classes  # five products of n x d x C: S, (P-Y)^T Z, U, (P-Y) R, J W
    moved = 4 * 4 * n * d  # zeta read three times, its gradient written
    return Result(
        "canceling step",
        "closed form, float32",
        "double backward, float64, clean gradient each step",
        seconds,
        best_time(double_backward),
        flops / seconds / 1e9,
        moved / seconds / 1e9,
        _share(flops, moved, torch.float32, seconds, peak),
        _difference(ours, theirs),
    )


def matching(device: torch.device, peak: Peak, *, n: int = 64, steps: int = 10) -> Result:
    """Feature matching (folded, channels-last, bfloat16 where fast) against a plain float32 loop over the unfolded encoder."""
    torch.manual_seed(0)
    architecture = Architecture(width=16, stem_stride=2)
    plain = Encoder(architecture).eval().requires_grad_(False).to(device)
    folded = Encoder(architecture)
    folded.load_state_dict(plain.state_dict())
    folded.freeze().fold_batchnorm().to(device)
    base, zeta = torch.rand(n, 3, 32, 32).to(device), torch.rand(n, plain.dimension).to(device)
    settings = FeatureMatching(steps=steps, tolerance=0.0)

    def loop() -> Tensor:
        nu = base.clone()
        for step in range(steps):
            eta = settings.step_size * 0.5 * (1 + np.cos(np.pi * step / steps))
            leaf = nu.detach().requires_grad_(True)
            (0.5 * (plain(leaf) - zeta).square().sum()).backward()
            nu = (leaf.detach() - eta * leaf.grad + eta * settings.beta * base) / (1 + eta * settings.beta)
        return nu

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        folded(base)
    seconds = best_time(lambda: match(zeta, base, folded, settings), 3)
    flops = 2 * steps * counter.get_total_flops()  # the pass back to the pixels costs what the pass forward costs
    moved = steps * 3 * base.nbytes  # images read and written, bases read; the weights stay in the cache
    return Result(
        "feature matching",
        "folded, channels-last",
        "plain float32 loop",
        seconds,
        best_time(loop, 3),
        flops / seconds / 1e9,
        moved / seconds / 1e9,
        _share(flops, moved, resolve(settings.precision, device), seconds, peak),
        _difference(match(zeta, base, folded, settings)[0] - base, loop() - base),
    )


def converged(device: torch.device, peak: Peak, *, N: int = 5000, d: int = 128, classes: int = 10) -> Result:
    """The converged victim against scikit-learn's LogisticRegression (newton-cg) on the same objective; agreement in objective."""
    from sklearn.linear_model import LogisticRegression

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % classes
    X = torch.randn(classes, d, generator=generator, dtype=torch.float64)[labels] * 0.15
    X = X + torch.randn(N, d, generator=generator, dtype=torch.float64)
    X = 5 * X / torch.arange(1, d + 1).sqrt()  # a decaying spectrum, as features of encoders have
    X = X @ torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    settings = Converged()
    mixture = Mixture.of_clean(X.to(device), labels.to(device))
    model = LogisticRegression(C=1 / (N * settings.ridge), fit_intercept=False, tol=settings.tolerance, max_iter=10_000, solver="newton-cg")
    Z, y = softmax.with_ones(X).numpy(), labels.numpy()
    with FlopCounterMode(display=False) as counter:
        omega, _ = train_converged(mixture, settings, classes=classes)
    seconds = best_time(lambda: train_converged(mixture, settings, classes=classes), 2)
    theirs = torch.from_numpy(model.fit(Z, y).coef_)[None].to(device)
    ours_value, theirs_value = (objective(mixture, value, settings.ridge).item() for value in (omega, theirs))
    flops = counter.get_total_flops()
    moved = flops / (2 * classes) * 8  # a product of features and C columns reads 8 bytes for every 2 C operations; at this size from the cache
    return Result(
        "converged victim",
        "Newton-CG, dense preconditioner, float64",
        "scikit-learn newton-cg",
        seconds,
        best_time(lambda: model.fit(Z, y), 2),
        flops / seconds / 1e9,
        moved / seconds / 1e9,
        _share(flops, 0.0, torch.float64, seconds, peak),
        abs(ours_value - theirs_value),
    )


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return ((ours.double() - theirs.double()).abs().max() / theirs.abs().max()).item()
