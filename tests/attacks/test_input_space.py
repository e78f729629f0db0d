"""The loop of the attacks in input space against its promises."""

import math

import pytest
import torch
from featpoison import softmax
from featpoison.attacks.constraints import Box
from featpoison.attacks.exact_bilevel import Bilevel
from featpoison.attacks.gc_input import Canceling
from featpoison.attacks.input_space import InputSpace, in_feature_space, optimise
from featpoison.attacks.tgda_input import TGDAInput, TotalGradient
from featpoison.common.pixels import to_8bit, to_pixels
from featpoison.encoders.features import pull_back
from featpoison.records.checkpoints import Checkpoint
from featpoison.solvers.newton import Converged
from helpers import Forgetful, Fragile, Killed, random_problem

every_objective = pytest.mark.parametrize("name", ["gc", "tgda", "exact"])


def run(base, objective, settings, *, pull=in_feature_space, within=None, checkpoint=None, kept_in="free"):
    return optimise(
        base,
        objective,
        settings,
        kept_in=kept_in,
        pull_back=pull,
        within=within or Box(),
        threshold=-math.inf,
        checkpoint=checkpoint or Forgetful(),
    )


def objectives():
    X, labels, head = random_problem(64, 4, 3)
    clean, poisons = (X[:60], labels[:60]), (X[60:], labels[60:])
    settings = TGDAInput(epochs=3, damping=1e-3, tolerance=1e-6, head_steps=1)
    G = softmax.head_gradient(*clean, head)
    return {
        "gc": lambda: Canceling(*poisons, head, G, 4),
        "tgda": lambda: TotalGradient(clean, poisons, head, settings),
        "exact": lambda: Bilevel(clean, poisons, Converged(ridge=1e-3), classes=3, tolerance=1e-8),
    }, poisons[0]


@every_objective
def test_a_killed_attack_resumes_bit_for_bit(name, tmp_path):
    makers, base = objectives()
    settings = InputSpace(epochs=50, step_size=0.05, batch_size=4)
    whole = run(base, makers[name](), settings, checkpoint=Checkpoint(tmp_path / "whole", {}))

    fragile = Fragile(tmp_path / "cut", {}, lambda facts: facts["epoch"] == 40)
    with pytest.raises(Killed):
        run(base, makers[name](), settings, checkpoint=fragile)
    resumed = run(base, makers[name](), settings, checkpoint=Checkpoint(tmp_path / "cut", {}))
    assert torch.equal(resumed.poisons, whole.poisons)
    assert resumed == type(resumed)(resumed.poisons, whole.first_value, whole.last_value, whole.epochs)


def test_a_killed_attack_on_valid_images_goes_on_with_the_best_of_before(tmp_path):
    """The best ones, which are kept as bytes, are the base here: it cancels nearly all already."""
    X, labels, head = random_problem(4, 4, 3)
    base = 0.5 + 0.2 * X.tanh()
    G = 0.1 - softmax.head_gradient(base, labels, head)
    settings = InputSpace(epochs=30, step_size=0.9, batch_size=4)

    def attack(checkpoint):
        objective = Canceling(base, labels, head, G, 4)
        within = Box(0.0, 1.0)
        return run(base, objective, settings, checkpoint=checkpoint, within=within, kept_in="valid")

    found = []
    with pytest.raises(Killed):
        attack(Fragile(tmp_path / "cut", {}, lambda facts: found.append(facts["best_value"]) or True))
    resumed = attack(Checkpoint(tmp_path / "cut", {}))
    assert found == [resumed.last_value]
    assert resumed.poisons.dtype == torch.uint8  # equal values of another type would pass the next line
    assert torch.equal(resumed.poisons, to_8bit(base))


@pytest.mark.parametrize("name", ["gc", "exact"])
@pytest.mark.parametrize("batch", [4, 3, 1])
def test_the_objective_never_ends_above_its_start(name, batch):
    makers, base = objectives()
    objective = makers[name]()
    if name == "gc":
        objective = Canceling(base, objective.labels, objective.target, objective.clean_gradient, batch)
    found = run(base, objective, InputSpace(epochs=40, step_size=0.05, batch_size=batch))
    assert found.last_value < found.first_value


@pytest.mark.parametrize("kept_in", ["free", "constrained"])
def test_8_bit_images_are_a_base_as_their_floats_are(kept_in):
    values = torch.randint(256, (4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    _, labels, head = random_problem(4, 4, 3, dtype=torch.float32)
    G = softmax.head_gradient(to_pixels(values).flip(0), labels, head)
    settings = InputSpace(epochs=20, step_size=0.05, batch_size=3)
    whole, floats = (
        run(base, Canceling(to_pixels(values), labels, head, G, 3), settings, kept_in=kept_in)
        for base in (values, to_pixels(values))
    )
    assert torch.equal(whole.poisons, floats.poisons)
    assert whole.facts() == floats.facts()
    assert not torch.equal(whole.poisons, to_pixels(values))


def test_constrained_images_stay_in_range_and_near(encoder, images):
    base, labels = to_pixels(images[:6]), torch.arange(6) % 3
    head = random_problem(1, encoder.dimension, 3, dtype=torch.float32)[2]
    G = 50 * torch.randn(3, encoder.dimension + 1)

    def pull(pixels, gradient):
        return pull_back(pixels, gradient, encoder, torch.float32)

    def attack(kept_in, penalty=1.0):
        settings = InputSpace(penalty=penalty, epochs=15, step_size=0.2, batch_size=4)
        within = Box() if kept_in == "free" else Box(0.0, 1.0)
        objective = Canceling(encoder(base), labels, head, G, 4)
        return run(base, objective, settings, pull=pull, within=within, kept_in=kept_in).poisons

    free, bound, near = attack("free"), attack("constrained"), attack("constrained", penalty=1e6)
    assert free.min() < 0 or free.max() > 1
    assert bound.min() >= 0
    assert bound.max() <= 1
    assert (near - base).norm() < 0.1 * (bound - base).norm()
    # Nothing pulls valid images back to their base.
    assert torch.equal(attack("valid", penalty=1e6), attack("valid", penalty=0.0))


def test_a_step_size_of_their_own_counts_for_the_poisons_of_its_set_only():
    def moved(kept_in, **changes):
        makers, base = objectives()
        settings = InputSpace(step_size=0.1, epochs=1, penalty=0.0, batch_size=4, **changes)
        assert settings.first_step_size(kept_in) == changes.get(f"{kept_in}_step_size", 0.1)
        base = 0.5 + 0.2 * base.tanh()  # images, as valid poisons are
        found = run(base, makers["gc"](), settings, kept_in=kept_in)
        return (to_pixels(found.poisons) - base).abs().max().item()

    own = {"valid_step_size": 0.03, "constrained_step_size": 0.01}
    assert moved("free") == moved("free", **own) == pytest.approx(0.1, rel=1e-3)
    for kept_in in ("valid", "constrained"):
        rounded = {"abs": 0.5 / 255} if kept_in == "valid" else {"rel": 1e-3}
        assert moved(kept_in) == pytest.approx(0.1, **rounded)
        assert moved(kept_in, **own) == pytest.approx(own[f"{kept_in}_step_size"], **rounded)


@pytest.mark.parametrize("second_momentum", [0.999, 0.5])
def test_the_second_momentum_is_that_of_the_settings(second_momentum):
    """The poisons end where torch's Adam takes them along the same objective."""
    makers, base = objectives()
    settings = InputSpace(step_size=0.1, epochs=5, batch_size=4, second_momentum=second_momentum)
    objective, passes = makers["gc"](), []

    def keep(features, gradient):
        passes.append(features.clone())  # the loop moves them in place
        return in_feature_space(features, gradient)

    run(base, objective, settings, pull=keep)
    leaf = base.clone().requires_grad_(True)
    oracle, objective = torch.optim.Adam([leaf], betas=(0.9, second_momentum)), makers["gc"]()
    for step, rows in enumerate(passes):
        torch.testing.assert_close(rows, leaf.detach(), rtol=1e-9, atol=1e-12)
        oracle.param_groups[0]["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 5))
        leaf.grad = objective.gradient(slice(0, 4), leaf.detach())
        oracle.step()
    assert len(passes) == 6


def test_not_a_number_names_epoch_and_batch():
    makers, base = objectives()
    objective = makers["gc"]()
    calls = []

    def broken(block, features):
        calls.append(block)
        return features * (math.nan if len(calls) == 4 else 0)

    objective.gradient = broken
    with pytest.raises(FloatingPointError, match="epoch 1, batch 1"):
        run(base, objective, InputSpace(epochs=5, batch_size=2))


def test_the_penalty_is_that_of_the_formula_and_counts_for_constrained_poisons_only():
    """One step of plain descent: minus the step size times (the objective's gradient + penalty (nu -
    mu'))."""

    class Still:
        """An objective of nothing, which pulls nowhere."""

        comparable = False

        def gradient(self, block, features):
            return torch.zeros_like(features)

        def value(self):
            return 0.0

        def state(self):
            return {}

    class Pushed(Box):
        """A set that the base rows lie outside of, so that the loop starts one above them."""

        def project(self, rows):
            return rows.clamp(min=1.0)

    base = torch.zeros(3, 2, dtype=torch.float64)
    settings = InputSpace(epochs=1, optimizer="gradient-descent", step_size=0.25, penalty=2.0, batch_size=2)
    found = run(base, Still(), settings, within=Pushed(), kept_in="constrained")
    assert found.first_value == pytest.approx(2 / 2 * 6)  # penalty / 2 times six entries that are off by 1
    for kept_in in ("free", "valid"):
        assert run(base, Still(), settings, within=Pushed(), kept_in=kept_in).first_value == 0


def test_plain_descent_steps_against_gradient_and_penalty():
    makers, base = objectives()
    objective = makers["gc"]()
    within, settings = (
        Box(-10, 10),
        InputSpace(epochs=2, optimizer="gradient-descent", step_size=1e-4, penalty=3.0, batch_size=4),
    )
    objective.comparable = False
    found = run(base, objective, settings, within=within, kept_in="constrained")
    twin, nu = makers["gc"](), base
    for step in range(2):
        _, gradient = softmax.canceling_step(nu, twin.labels, twin.target, twin.clean_gradient)
        rate = 1e-4 * 0.5 * (1 + math.cos(math.pi * step / 2))
        nu = nu - rate * (gradient + 3.0 * (nu - base))
    torch.testing.assert_close(found.poisons, nu)


def test_the_best_poisons_are_kept_as_the_pass_found_them():
    """Steps so long that later passes are worse. The base stays, though its set gives it back as it is."""

    class Everything:
        def project(self, rows):
            return rows

    class Noted(Canceling):
        passes: tuple[tuple[float, torch.Tensor], ...] = ()

        def gradient(self, block, features):
            self.rows = features.clone()
            return super().gradient(block, features)

        def value(self):
            found = super().value()
            self.passes += ((found, self.rows),)
            return found

    X, labels, head = random_problem(64, 4, 3)
    G = softmax.head_gradient(X[:60], labels[:60], head)
    objective, base = Noted(X[60:], labels[60:], head, G, 4), X[60:].clone()
    settings = InputSpace(epochs=30, step_size=5.0, batch_size=4)
    found = run(base, objective, settings, within=Everything())
    value, rows = min(objective.passes, key=lambda one: one[0])
    assert objective.passes[-1][0] > value
    assert found.last_value == value
    assert torch.equal(found.poisons, rows)
    assert torch.equal(base, X[60:])
