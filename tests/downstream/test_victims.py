import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.downstream.metrics import accuracy, magnitude_ratio
from featpoison.downstream.poisons import Poisons
from featpoison.downstream.victims import Victims, retrain, retrain_all
from featpoison.heads import SGD100
from featpoison.results.intervals import interval
from featpoison.softmax import Head
from featpoison.solvers.newton import Converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(3, 5, generator=generator)

    def draw(n):
        labels = torch.arange(n) % 3
        return centres[labels] + torch.randn(n, 5, generator=generator), labels

    return Downstream(*draw(240), *draw(90), classes=3)


VICTIMS = Victims(sgd100=SGD100(epochs=10, tail=4), converged=Converged(ridge=1e-3), seeds=(0, 1))


def test_accuracy_by_hand():
    X = torch.tensor([[1.0], [-1.0], [2.0], [-3.0]])
    omega = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]]])
    assert accuracy(X, torch.tensor([0, 1, 1, 1]), omega).tolist() == [0.75, 0.25]


def test_poisons_with_wrong_labels_cost_accuracy(task):
    """A victim that is retrained on flipped far-away rows loses accuracy: the whole evaluation reacts to poison."""
    clean = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), VICTIMS, torch.device("cpu"))
    n = 120
    poison = TrainingSets(task.train, task.train_labels, 3 * task.train[:n][None], ((task.train_labels[:n] + 1) % 3)[None])
    hurt = retrain(task, poison, VICTIMS, torch.device("cpu"))
    assert hurt["converged_accuracy"][0] < clean["converged_accuracy"][0] - 0.2
    assert hurt["sgd100_accuracy"][0, :, -1].mean() < clean["sgd100_accuracy"][0, :, -1].mean() - 0.2
    assert clean["sgd100_accuracy"].shape == (1, 2, 4)
    assert clean["converged_certificate"].max() <= 1e-6


def test_stored_heads_give_the_stored_accuracies(task):
    arrays = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), VICTIMS, torch.device("cpu"))
    for victim, share in (("sgd100", arrays["sgd100_accuracy"][0, :, -1]), ("converged", arrays["converged_accuracy"])):
        omega = torch.from_numpy(arrays[f"{victim}_omega"].reshape(-1, 3, 6))
        assert accuracy(task.test, task.test_labels, omega).tolist() == share.tolist()


def test_residual_is_relative_to_the_clean_gradient():
    X, labels, head = random_problem(30, 5, 3)
    task = Downstream(X, labels, X, labels, 3)
    twin = Head(weight=-head.weight, bias=-head.bias)
    own = softmax.head_gradient(X, labels, twin)
    assert attack_facts(task, [Poisons(X, labels)], twin, -own)["residual"][0] == pytest.approx(0, abs=1e-9)


def test_interval_covers_and_single_values_have_none():
    generator = np.random.default_rng(0)
    intervals = [interval(generator.normal(size=4)) for _ in range(1000)]
    hits = sum(one.low <= 0 <= one.high for one in intervals)
    assert 925 <= hits <= 975
    assert interval(np.array([3.0])) == interval(np.array([3.0]))
    assert interval(np.array([3.0])).low is None


def test_magnitude_ratio():
    clean = torch.tensor([[0.0, -2.0], [0.0, 1.0]])
    assert magnitude_ratio(torch.tensor([[4.0, 3.0], [0.0, -7.0]]), clean) == pytest.approx(4.0)


def test_sets_of_different_sizes_are_trained_each_alone(task):
    """A filter leaves another number of poisons for every seed, perhaps none."""
    X, labels = 3 * task.train, (task.train_labels + 1) % 3
    sets = [Poisons(X[:n], labels[:n]) for n in (60, 0, 60)]
    together = retrain_all(task, sets, VICTIMS, torch.device("cpu"))
    same = retrain_all(task, [sets[0], sets[2]], VICTIMS, torch.device("cpu"))
    clean = retrain(task, TrainingSets.of_clean(task.train, task.train_labels), VICTIMS, torch.device("cpu"))
    assert together["sgd100_omega"].shape == (3, 2, 3, 6)
    np.testing.assert_allclose(together["converged_accuracy"][[0, 2]], same["converged_accuracy"])
    assert together["converged_accuracy"][1] == clean["converged_accuracy"][0]
    facts = attack_facts(task, sets, Head.from_omega(torch.from_numpy(clean["sgd100_omega"][0, 0])), torch.ones(3, 6))
    assert facts["poisons"].tolist() == [60, 0, 60]
    assert len(facts["feature_magnitude_ratio"]) == 2
    assert "feature_distance" not in facts


def test_image_facts_by_hand():
    clean = torch.full((3, 3, 16, 16), 0.5)
    clean[0] = 0.8
    images = clean[[1, 2]].clone()
    images[0] += 0.1
    (facts,) = [image_facts([Poisons(torch.zeros(2, 5), torch.zeros(2), images, torch.tensor([1, 2]))], lambda rows: clean[rows], 0.8)]
    assert facts["psnr"][0] == pytest.approx((20 + 100) / 2)  # 10 log10(1 / 0.01), and an unchanged image
    assert facts["pixel_ratio"][0] == pytest.approx((0.6 + 0.5) / 2 / 0.8)
    assert 0.9 < facts["ssim"][0] < 1
