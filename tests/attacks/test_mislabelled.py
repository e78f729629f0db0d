"""Copies of clean images with wrong labels: which images, which labels, and that their influence is what
retraining shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import softmax, store
from featpoison.attacks import names
from featpoison.attacks.attack import Run
from featpoison.attacks.base_rows import choose_initial
from featpoison.attacks.choices import Choice
from featpoison.attacks.mislabelled_influence import halves, influence, most_harmful
from featpoison.attacks.mislabelled_next import next_class
from featpoison.attacks.mislabelled_random import random_wrong_labels
from featpoison.downstream.task import read_task
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged, train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import RECORD, Forgetful
from problems import blobs

BASELINES = ("mislabelled-random", "mislabelled-next", "mislabelled-influence")
RIDGE = 1e-3
CLASSES = 3


def run_of(name, files, **changes):
    attack = names.load(name)
    own = {need: files[need] for need in attack.needs}
    victim = attack.victim(ridge=1e-2) if attack.victim else None
    known = {"budget": 0.1, "seed": 3, "victim": victim} | changes
    return Run(attack.settings(), Choice(method=name), own, torch.device("cpu"), Forgetful(), **known)


def made(name, files, **changes):
    return names.load(name).run(run_of(name, files, **changes)).arrays


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize(("budget", "count"), [(0.1, 4), (1.0, 40), (2.3, 92)])
def test_pixels_and_features_are_the_clean_ones_and_every_label_is_wrong(name, budget, count, files):
    found = made(name, files, budget=budget)
    clean = store.read(files["images"], "train_images", "train_labels")
    base = found["base"]
    np.testing.assert_array_equal(found["images"], clean["train_images"][base] / np.float32(255))
    np.testing.assert_array_equal(
        (255 * found["images"]).round().astype(np.uint8), clean["train_images"][base]
    )
    np.testing.assert_array_equal(found["features"], store.read(files["features"], "train")["train"][base])
    assert (found["labels"] != clean["train_labels"][base]).all()
    assert found["labels"].min() >= 0
    assert found["labels"].max() < 3
    assert {key: array.dtype for key, array in found.items()} == {
        "images": np.float32,
        "features": np.float32,
        "labels": np.int64,
        "base": np.int64,
    }
    taken = np.bincount(base, minlength=40)
    assert (len(base), taken.min(), taken.max()) == (count, count // 40, -(-count // 40))


def test_rows_left_to_chance_are_those_that_other_attacks_start_from(files):
    labels = read_task(files["features"]).train_labels
    expected = choose_initial(labels, 4, seed=3)
    for name in ("mislabelled-random", "mislabelled-next"):
        np.testing.assert_array_equal(made(name, files)["base"], expected)
    found = made("mislabelled-next", files)["labels"]
    np.testing.assert_array_equal(found, (labels[expected].numpy() + 1) % 3)


def test_random_labels_are_wrong_and_equally_likely():
    labels = torch.arange(30_000) % 5
    found = random_wrong_labels(labels, 5, seed=0)
    counts = torch.zeros(5, 5).index_put_((labels, found), torch.ones(()), accumulate=True)
    assert counts.diagonal().tolist() == [0] * 5
    others = counts[~torch.eye(5, dtype=torch.bool)]
    assert others.sum() == 30_000
    assert (others - 1500).abs().max() < 5 * 1500**0.5
    assert torch.equal(found, random_wrong_labels(labels, 5, seed=0))
    assert not torch.equal(found, random_wrong_labels(labels, 5, seed=1))
    assert torch.equal(random_wrong_labels(torch.tensor([0, 1]), 2, seed=0), torch.tensor([1, 0]))


def test_the_class_after_the_last_is_the_first():
    assert next_class(torch.tensor([0, 1, 2, 2]), 3).tolist() == [1, 2, 0, 0]


@pytest.mark.parametrize("name", BASELINES)
def test_a_single_class_has_no_wrong_label(name, files, tmp_path):
    arrays = store.read(files["features"])
    arrays |= {part: np.zeros_like(arrays[part]) for part in ("train_labels", "test_labels")}
    store.write(tmp_path / "one.h5", arrays, RECORD, classes=["a"])
    given = run_of(name, files)
    given = replace(given, files={**given.files, "features": tmp_path / "one.h5"})
    with pytest.raises(ValueError, match=r"one.h5: 1 class, expected at least 2"):
        names.load(name).run(given)


def test_test_data_does_not_count(files, tmp_path):
    """With other test rows every baseline makes the same copies."""
    arrays = store.read(files["features"])
    arrays |= {"test": arrays["test"][::-1] + 1, "test_labels": arrays["test_labels"][::-1] * 0}
    store.write(tmp_path / "other.h5", arrays, RECORD, classes=["a", "b", "c"])
    for name in BASELINES:
        given = run_of(name, files)
        other = replace(given, files={**given.files, "features": tmp_path / "other.h5"})
        first, second = (names.load(name).run(one).arrays for one in (given, other))
        for key, array in first.items():
            np.testing.assert_array_equal(array, second[key])


# Influence against retraining, float64.


def scores_of(X, labels, seed=5):
    victim = Converged(ridge=RIDGE, tolerance=1e-12)
    return influence(X, labels, victim, classes=CLASSES, seed=seed, tolerance=1e-12)


def increases(X, labels, candidates, repeats):
    """How much the summed loss of the second half grows when a copy of each candidate joins `repeats` copies
    of the first half, one retraining each."""
    rows, wrong = candidates
    first, second = halves(labels, 5)
    clean, own = X[first].repeat(repeats, 1), labels[first].repeat(repeats)
    settings = Converged(ridge=RIDGE, tolerance=1e-13)
    before, _ = train_converged(TrainingSets.of_clean(X[first], labels[first]), settings, classes=CLASSES)
    sets = TrainingSets(clean, own, X[rows].unsqueeze(1), wrong.unsqueeze(1))
    after, _ = train_converged(sets, settings, classes=CLASSES)

    def held_out(omega):
        return softmax.loss(X[second], labels[second], Head.from_omega(omega))

    return held_out(after) - held_out(before)


def every_wrong_label(labels):
    wrong = torch.arange(CLASSES) != labels.unsqueeze(1)
    return wrong.nonzero(as_tuple=True)


def ranks(values):
    return values.argsort().argsort().double()


def test_the_score_orders_copies_as_retraining_does():
    X, labels = blobs(n=151, d=4, classes=CLASSES)
    candidates = every_wrong_label(labels)
    predicted = scores_of(X, labels)[candidates]
    found = increases(X, labels, candidates, repeats=1)
    correlation = torch.corrcoef(torch.stack([ranks(predicted), ranks(found)]))[0, 1]
    assert len(found) == 302
    assert correlation > 0.9
    top = predicted.argsort(descending=True)[:10]
    assert (found[top] > 0).all()
    assert found[top].mean() > 2 * found.mean()


def test_the_score_is_the_derivative_of_the_loss_in_the_weight_of_a_copy():
    """Beside a thousand copies of the first half, a single copy counts as little as a derivative asks for.
    The ridge's part is the same for all, so differences count."""
    X, labels = blobs(n=31, d=3, classes=CLASSES)
    rows, wrong = (part[::3] for part in every_wrong_label(labels))
    repeats = 1000
    found = increases(X, labels, (rows, wrong), repeats)
    predicted = scores_of(X, labels)[rows, wrong] / (repeats * len(halves(labels, 5)[0]))
    torch.testing.assert_close(
        found - found.mean(), predicted - predicted.mean(), rtol=0.02, atol=0.005 * found.std().item()
    )


def test_scores_are_those_of_a_loop_over_rows_and_labels():
    X, labels = blobs(n=31, d=3, classes=CLASSES)
    first, second = halves(labels, 5)
    assert sorted(torch.cat([first, second]).tolist()) == list(range(31))
    assert (len(first), len(second)) == (16, 15)
    settings = Converged(ridge=RIDGE, tolerance=1e-13)
    omega, _ = train_converged(TrainingSets.of_clean(X[first], labels[first]), settings, classes=CLASSES)
    head = Head.from_omega(omega[0])
    H = softmax.hessian(X[first], head) / len(first) + RIDGE * torch.eye(CLASSES * 4, dtype=torch.float64)
    q = torch.linalg.solve(H, softmax.head_gradient(X[second], labels[second], head).flatten())
    scores = scores_of(X, labels)
    for row in range(31):
        for label in range(CLASSES):
            if label == labels[row]:
                assert scores[row, label] == -torch.inf
                continue
            gradient = softmax.head_gradient(X[[row]], torch.tensor([label]), head)
            assert scores[row, label].item() == pytest.approx(-(q @ gradient.flatten()).item(), rel=1e-6)


def test_the_most_harmful_copies_come_first_and_each_image_before_any_twice():
    scores = torch.tensor([[-torch.inf, 5.0, 4.0], [1.0, -torch.inf, 3.0], [7.0, 6.0, -torch.inf]])
    rows, labels = most_harmful(scores, 2)
    assert (rows.tolist(), labels.tolist()) == ([2, 0], [0, 1])
    rows, labels = most_harmful(scores, 7)
    assert (rows.tolist(), labels.tolist()) == ([2, 0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2, 0])


def test_the_victim_of_the_half_is_damped(files):
    """By as much as the settings say: the choice is that of a victim with so much more ridge."""
    task, given = read_task(files["features"]), run_of("mislabelled-influence", files, budget=0.5)
    found = {}
    for damping in (0.0, 10.0):
        settings = given.settings.model_copy(update={"damping": damping})
        arrays = names.load(given.choice.method).run(replace(given, settings=settings)).arrays
        victim = Converged(ridge=1e-2 + damping)
        scores = influence(task.train, task.train_labels, victim, classes=3, seed=3, tolerance=1e-6)
        rows, labels = most_harmful(scores, 20)
        found[damping] = rows.tolist(), labels.tolist()
        assert (arrays["base"].tolist(), arrays["labels"].tolist()) == found[damping]
    assert found[0.0] != found[10.0]


def test_another_poison_seed_splits_otherwise():
    labels = torch.zeros(40)
    assert not torch.equal(halves(labels, 0)[0].sort()[0], halves(labels, 1)[0].sort()[0])
