"""Benchmarks of the victims' training: against scikit-learn, and many victims against one after the other."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from featpoison import softmax
from featpoison.costs.timing import Peak, Result, best_time, difference, share
from featpoison.heads import SGD100, train_sgd
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.objective import objective
from featpoison.solvers.training_sets import TrainingSets

EQUAL = 1e-8
"""Largest difference of two objectives, in nats, that count as equal."""


def converged(
    device: torch.device, peak: Peak, *, N: int = 50_000, d: int = 128, classes: int = 10
) -> Result:
    """The converged victim against the fastest solver of scikit-learn's LogisticRegression, at an equal
    objective; agreement in objective.

    newton-cholesky is left out: it took five times as long as the others at d = 128.
    """
    X, labels = _separable(N, d, classes)
    settings, sets = Converged(), TrainingSets.of_clean(X.to(device), labels.to(device))
    omega, flops, moved = _counted(lambda: train_converged(sets, settings, classes=classes)[0])
    value = objective(sets, omega, settings.ridge).item()
    solver, theirs_seconds, theirs = _fastest_of_scikit_learn(X, labels, settings, value)
    theirs_value = objective(sets, theirs.to(device), settings.ridge).item()
    seconds = best_time(lambda: train_converged(sets, settings, classes=classes), 3)
    return _of_victims(
        f"converged, d = {d}",
        ("Newton-CG, an inverse a class, certified in float64", f"scikit-learn {solver}"),
        seconds=(seconds, theirs_seconds),
        flops=flops,
        moved=moved,
        peak=peak,
        agreement=abs(value - theirs_value),
    )


def converged_wide(
    device: torch.device, peak: Peak, *, N: int = 50_000, d: int = 512, classes: int = 10
) -> Result:
    """The same with as many features as a ResNet-18 has."""
    return converged(device, peak, N=N, d=d, classes=classes)


def ten_converged(
    device: torch.device, peak: Peak, *, N: int = 50_000, d: int = 128, classes: int = 10, K: int = 10
) -> Result:
    """K converged victims that share their clean rows against one after the other. Twice as fast means that
    ten cost five times what one does."""
    sets, settings = _poisoned(device, N, d, classes, K), Converged()
    omega, flops, moved = _counted(lambda: train_converged(sets, settings, classes=classes)[0])

    def alone() -> Tensor:
        return torch.cat([train_converged(one, settings, classes=classes)[0] for one in sets.each()])

    values = [objective(sets, found, settings.ridge) for found in (omega, alone())]
    return _of_victims(
        f"{K} converged",
        ("together", "one after the other"),
        seconds=(best_time(lambda: train_converged(sets, settings, classes=classes), 2), best_time(alone, 1)),
        flops=flops,
        moved=moved,
        peak=peak,
        agreement=(values[0] - values[1]).abs().max().item(),
    )


def ten_sgd(
    device: torch.device,
    peak: Peak,
    *,
    N: int = 5000,
    d: int = 128,
    classes: int = 10,
    K: int = 10,
    epochs: int = 10,
) -> Result:
    """K victims of SGD that share their clean rows, in float32, against one after the other; agreement of the
    heads."""
    sets = _poisoned(device, N, d, classes, K).to(device, torch.float32)
    settings = SGD100(epochs=epochs, tail=1)

    def trained(some: TrainingSets) -> Tensor:
        return train_sgd(some, settings, classes=classes, seeds=(0,))

    together, flops, moved = _counted(lambda: trained(sets))
    alone = torch.cat([trained(one) for one in sets.each()])
    return _of_victims(
        f"{K} SGD victims",
        ("together", "one after the other"),
        seconds=(
            best_time(lambda: trained(sets), 3),
            best_time(lambda: [trained(one) for one in sets.each()], 2),
        ),
        flops=flops,
        moved=moved,
        peak=peak,
        agreement=difference(together, alone),
    )


def _of_victims(
    name: str,
    ways: tuple[str, str],
    *,
    seconds: tuple[float, float],
    flops: float,
    moved: float,
    peak: Peak,
    agreement: float,
) -> Result:
    """The result of training heads. `ways` and `seconds`: ours, the baseline's. Nearly all products are in
    float32, whose peak counts."""
    return Result(
        name,
        *ways,
        *seconds,
        flops / seconds[0] / 1e9,
        moved / seconds[0] / 1e9,
        share(flops, moved, torch.float32, seconds[0], peak),
        agreement,
    )


def _counted(work: Callable[[], Tensor]) -> tuple[Tensor, float, float]:
    """What `work` returns, and of its matrix products the operations and the bytes that they move at least.

    Products with heads come in pairs, there and back, of which the second finds the features in the cache:
    half of the operands' bytes.
    """
    products = (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm)
    with (
        FlopCounterMode(display=False) as flops,
        FlopCounterMode(display=False, custom_mapping=dict.fromkeys(products, _bytes)) as read,
    ):
        result = work()
    return result, flops.get_total_flops(), read.get_total_flops() / 2


def _bytes(*operands: Any, out_val: Tensor, **_: Any) -> int:
    """Bytes of a product's operands, of which one that several products share counts once."""
    del out_val  # few beside the operands
    tensors = [one for one in operands if isinstance(one, Tensor)]
    return sum(
        one.itemsize
        * math.prod(size for size, step in zip(one.shape, one.stride(), strict=True) if step or size == 1)
        for one in tensors
    )


_bytes._get_raw = True  # type: ignore[attr-defined]  # FlopCounterMode then gives tensors, not their shapes


def _separable(N: int, d: int, classes: int) -> tuple[Tensor, Tensor]:
    """Features (N, d) float64 with labels (N,), and a decaying spectrum, as features of encoders have."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % classes
    X = torch.randn(classes, d, generator=generator, dtype=torch.float64)[labels] * 0.15
    X = X + torch.randn(N, d, generator=generator, dtype=torch.float64)
    X = 5 * X / torch.arange(1, d + 1).sqrt()
    return X @ torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0], labels


def _poisoned(device: torch.device, N: int, d: int, classes: int, K: int) -> TrainingSets:
    """K training sets on these features: 3 % poisons, copies of clean rows with the next class's label."""
    X, labels = _separable(N, d, classes)
    n, generator = max(1, round(0.03 * N)), torch.Generator().manual_seed(1)
    base = torch.stack([torch.randperm(N, generator=generator)[:n] for _ in range(K)])
    sets = TrainingSets(X, labels, X[base], (labels[base] + 1) % classes)
    return sets.to(device, torch.float64)


def _fastest_of_scikit_learn(
    X: Tensor, labels: Tensor, settings: Converged, value: float
) -> tuple[str, float, Tensor]:
    """The fastest solver, its seconds, and its head (1, C, d+1). Each takes the largest tolerance, of powers
    of ten, with which it ends within EQUAL of the objective `value`."""
    from sklearn.linear_model import LogisticRegression

    Z, y = softmax.with_ones(X).numpy(), labels.numpy()
    sets, found = TrainingSets.of_clean(X, labels), []
    for solver in ("lbfgs", "newton-cg"):
        for exponent in range(6, 13):
            model = LogisticRegression(
                C=1 / (len(X) * settings.ridge),
                fit_intercept=False,
                tol=10**-exponent,
                max_iter=10_000,
                solver=solver,
            )
            start = time.perf_counter()
            omega = torch.from_numpy(model.fit(Z, y).coef_).unsqueeze(0)
            seconds = time.perf_counter() - start
            if objective(sets, omega, settings.ridge).item() <= value + EQUAL:
                found.append((solver, seconds, omega))
                break
    return min(found, key=lambda one: one[1])
