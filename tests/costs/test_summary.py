"""A plan in a few lines, and how fast this machine is."""

import pytest
from featpoison.attacks.operations import Work
from featpoison.costs import rates
from featpoison.costs.speed import speed
from featpoison.costs.summary import SHOWN, Step, cluster_jobs, summary


def test_a_summary_names_the_largest_steps_and_loses_none():
    steps = [Step(f"step {number}", number, Work(), float(number)) for number in range(1, 9)]
    lines = summary(steps, "core hours")
    assert lines[0] == "36 jobs, 36 core hours"
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == [f"step {n}" for n in (8, 7, 6, 5, 4)]
    assert lines[1] == "  step 8: 8 core hours (22%) in 8 jobs"
    assert lines[-1] == f"  {8 - SHOWN} other steps: 6 core hours"
    assert summary([], "GPU hours") == ["0 jobs, 0 GPU hours"]


def test_jobs_of_a_group_travel_together():
    jobs = {"poison_shard": 17, "evaluate_attack": 5, "pretrain_encoder": 2}
    groups, components = {"poison_shard": "shards", "evaluate_attack": "victims"}, {"shards": 8}
    assert cluster_jobs(jobs, groups, components) == 3 + 5 + 2
    assert cluster_jobs(jobs, {}, {}) == 24
    assert cluster_jobs({"a": 3, "b": 3}, dict.fromkeys("ab", "both"), {"both": 6}) == 1


def test_a_faster_core_takes_fewer_hours():
    slow, fast = (
        rates.core_hours("train_heads", 3, Work(1e12), start=2.5, speed=speed) for speed in (1.0, 4.0)
    )
    assert slow == pytest.approx(4 * fast)


def test_the_speed_of_this_machine_is_a_plausible_number():
    assert 0.01 < speed(0.2) < 100
