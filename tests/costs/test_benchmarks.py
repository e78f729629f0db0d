"""Every benchmark compares two ways to the same result, and counts what it says it counts."""

import pytest
import torch
from featpoison.costs import benchmarks, matching_benchmarks, timing, victim_benchmarks
from featpoison.costs.timing import Peak

CPU = torch.device("cpu")
PEAK = Peak({torch.float32: 1e12, torch.float64: 5e11, torch.bfloat16: 2e12}, bytes=1e11)


@pytest.fixture(autouse=True)
def _once(monkeypatch):
    """Seconds do not matter here."""
    for module in (benchmarks, matching_benchmarks, victim_benchmarks):
        monkeypatch.setattr(module, "best_time", lambda work, repeats=1: timing.best_time(work, 1))


@pytest.mark.parametrize(
    ("benchmark", "sizes", "tolerance"),
    [
        (benchmarks.canceling, {"N": 200, "n": 10, "d": 16}, 1e-4),
        # Where L-BFGS stops is an iterate, which lies below Adam's L by up to a step.
        (benchmarks.gc_feature, {"N": 200, "n": 20, "d": 16, "iterations": 100}, 0.9),
        (benchmarks.target_search, {"N": 200, "d": 16}, 1e-5),
        (benchmarks.tgda, {"N": 200, "n": 10, "d": 16}, 1e-2),
        (benchmarks.converged, {"N": 300, "d": 16}, victim_benchmarks.EQUAL),
        (benchmarks.converged_wide, {"N": 300, "d": 20}, victim_benchmarks.EQUAL),
        (benchmarks.ten_converged, {"N": 300, "d": 16, "K": 3}, 1e-10),
        (benchmarks.ten_sgd, {"N": 300, "d": 16, "K": 3, "epochs": 2}, 1e-4),
        (benchmarks.matching, {"n": 3, "steps": 3}, 0.2),  # bfloat16, where that is fast, against float32
        # The benchmark itself takes 2,000 steps.
        (benchmarks.matching_to_the_end, {"n": 3, "steps": 200}, 0.3),
        (benchmarks.matching_to_the_end_in_float32, {"n": 3, "steps": 200}, 0.3),
        (benchmarks.gc_input, {"n": 3}, 0.3),
    ],
)
def test_ours_and_the_baseline_agree(benchmark, sizes, tolerance):
    found = benchmark(CPU, PEAK, **sizes)
    assert found.agreement < tolerance
    assert found.ratio == pytest.approx(found.baseline_seconds / found.seconds)
    assert found.gflops > 0
    assert found.gbytes > 0
    limits = (found.gflops / 5e2, found.gflops / 1e3, found.gflops / 2e3, found.gbytes / 1e2)
    assert any(found.share_of_peak == pytest.approx(limit) for limit in limits)


def test_products_count_their_operations_and_half_the_bytes_of_their_operands():
    """Features that several heads share count once."""
    X, heads = torch.ones(100, 8), torch.ones(3, 8, 5)
    one, three = (victim_benchmarks._counted(lambda W=W: X @ W)[1:] for W in (heads[0], heads))
    assert one == (2 * 100 * 8 * 5, (3200 + 160) / 2)
    assert three == (3 * one[0], (3200 + 3 * 160) / 2)


def test_every_benchmark_is_run_by_the_program():
    names = {"canceling", "gc_feature", "target_search", "matching", "gc_input", "tgda", "converged"}
    names |= {"converged_wide", "ten_converged", "ten_sgd"}
    names |= {"matching_to_the_end", "matching_to_the_end_in_float32"}
    assert {benchmark.__name__ for benchmark in benchmarks.ALL} == names
