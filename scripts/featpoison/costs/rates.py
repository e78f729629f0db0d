"""What planned work takes on CPUs, in core hours, from rates that were measured.

A rate is a rule's planned operations over the CPU seconds of its jobs. Iterative stages count their most
steps, and the converged victim a round number of products, so that a rate may lie above what a core can do:
it says what a plan is worth, not how fast the code is. Rates are those of the demo's sizes (5,000 rows, 128
features, a thin encoder); larger encoders and more features do more operations a second.
"""

from dataclasses import dataclass

from featpoison.attacks.operations import Work

WARM_START, COLD_START = 0.14, 2.5
"""CPU seconds in which a job starts: as a fork of an interpreter that has imported the libraries
(FEATPOISON_WARM=1), and as a program of its own (2 to 3)."""


@dataclass(frozen=True)
class Rate:
    """What one core does for jobs of one kind."""

    flops: float
    """Planned operations a second, of either precision; infinite where a job's work is not planned."""
    seconds: float
    """CPU seconds of a job besides, without its start."""
    source: str
    """Where the two numbers come from."""


INFINITE = float("inf")
DEMO = "all of these jobs in the demo, one core of a Xeon with AVX-512 and AMX (Sapphire Rapids)"
"""The CPU times in `benchmarks/` after `make demo` with one core, less their starts. Other work ran beside it
on the machine, so that a machine of one's own is faster."""
PASSES = Rate(75e9, 0.1, f"feature matching: {DEMO}")
"""Of passes through an encoder, where a rule has no rate of its own."""
PLANNED_WORK = {
    "evaluate_attack": 3.8e10,
    "evaluate_clean_defence": 5e10,
    "evaluate_defence": 5.6e10,
    "evaluate_emn": 4.6e11,
    "evaluate_transfer": 3.3e10,
    "extract_features": 5.1e10,
    "make_emn_noise emn-end-to-end": 7.8e10,
    "make_emn_noise emn-input": 1e11,
    "make_emn_noise emn-original": 8.3e10,
    "make_target_head gradpc-input": 4.7e10,
    "make_target_head_of_budget reachable-bounded": 6.3e9,
    "poison_features exact-feature": 4.6e9,
    "poison_features gc-feature": 1.6e9,
    "poison_features pushed-feature": 4e7,
    "poison_images decoder-inversion": 2.1e10,
    "poison_images exact-feature-matching": 7e10,
    "poison_images exact-input": 2.6e10,
    "poison_images feature-matching": 7.9e10,
    "poison_images gc-input": 9.8e10,
    "poison_images mislabelled-influence": 1.7e10,
    "poison_images pushed-feature-matching": 6.6e10,
    "poison_images tgda-input": 1.1e11,
    "pretrain_encoder": 5.2e10,
    "train_decoder": 4.3e10,
    "train_heads": 3e10,
    "train_trajectory": 7.3e9,
}
"""Operations a second, by rule, or by rule and attack. EMN's victims see fewer images in the demo than are
planned for them."""
SECONDS = {
    "collect_ablation": 0.6,
    "collect_defences": 0.7,
    "collect_table": 0.5,
    "collect_transfer": 0.4,
    "defend_poisons": 0.1,
    "fetch_dataset": 1.6,
    "import_encoder": 0.1,
    "make_target_head gradpc-feature": 0.1,
    "make_target_head gradpc-minibatch": 0.1,
    "make_target_head_of_budget permuted": 0.1,
    "make_target_head_of_budget random-step": 0.2,
    "make_target_head_of_budget reachable": 0.6,
    "measure_norms": 3.4,
    "measure_reach": 2.5,
    "pair_features": 0,
    "plot_anomalies": 0.7,
    "plot_emn": 1,
    "plot_frontier": 1.5,
    "plot_growth": 0.8,
    "plot_input_poisons": 1,
    "plot_magnitudes": 0.9,
    "plot_perturbations": 0.8,
    "plot_poisons": 0.9,
    "plot_stages": 2,
    "plot_threat_model": 1.7,
    "plot_worth": 0.8,
    "poison_images mislabelled-next": 0.1,
    "poison_images mislabelled-random": 0.1,
    "reconstruct_images": 4.1,
    "render_ablation": 1.1,
    "render_defences": 1.7,
    "render_table": 3.2,
    "render_transfer": 0.8,
}
"""Seconds of a job whose work is not planned, likewise."""
ADAPTIVE = "four jobs of workflow/config/demo/adaptive.yaml, on such a core"
RATES = {name: Rate(flops, 0.0, DEMO) for name, flops in PLANNED_WORK.items()}
RATES |= {
    "poison_features exact-cosine": Rate(4.3e9, 0.0, ADAPTIVE),
    "poison_features exact-spectral": Rate(8.9e9, 0.0, ADAPTIVE),
}
RATES |= {name: Rate(INFINITE, seconds, DEMO) for name, seconds in SECONDS.items()}


def rate_of(name: str) -> Rate:
    """The rate of a rule, or of a rule and attack as `plan.by_rule` names them: its own, else its rule's,
    else that of passes through an encoder."""
    return RATES.get(name) or RATES.get(name.split(" ", maxsplit=1)[0]) or PASSES


def core_hours(name: str, jobs: int, work: Work, *, start: float, speed: float = 1.0) -> float:
    """Core hours of `jobs` jobs of one kind, with this work in all; each starts in `start` seconds. `speed`:
    how many times as fast as that of the rates a core is."""
    rate = rate_of(name)
    seconds = jobs * (start + rate.seconds) + (work.flops + work.double_flops) / rate.flops
    return seconds / speed / 3600
