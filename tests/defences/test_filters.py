"""Filters by neighbours, by directions that stand out and by trained heads, each against a plain one."""

import numpy as np
import pytest
import torch
from featpoison.defences import names, sever, trimmed_loss
from featpoison.defences.activation_clustering import small_cluster
from featpoison.defences.deep_knn import votes
from featpoison.defences.ranking import least, squared_projections
from featpoison.softmax import Head
from featpoison.solvers.newton import train_converged
from featpoison.solvers.training_sets import TrainingSets
from helpers import random_problem
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from small_task import CLASSES, QUICK

FILTERS = ("spectral-signatures", "sever", "trimmed-loss", "random-filter")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_the_largest_scores_go_the_last_of_equal_ones_first(values, data):
    removed = data.draw(st.integers(0, len(values)))
    worst_last = sorted(range(len(values)), key=lambda row: (values[row], row))
    expected = sorted(worst_last[: len(values) - removed])
    assert least(torch.tensor(values), removed).tolist() == expected


@pytest.mark.parametrize("name", FILTERS)
def test_a_ranking_removes_its_share(name, defending, long_poisons):
    found = names.load(name).run(defending(name, *long_poisons, share=0.25))
    assert len(found.rows) == 132 - 33
    assert torch.equal(found.rows, found.rows.unique())


@pytest.mark.parametrize("name", [*FILTERS, "deep-knn", "activation-clustering", "norm-filter"])
def test_a_filter_repeats_and_depends_on_no_place(name, defending, long_poisons, task):
    """Which rows are poisons is no news to it: poisons first or last make no difference but to chance."""
    defence, given_ = names.load(name), defending(name, *long_poisons)
    assert torch.equal(defence.run(given_).rows, defence.run(given_).rows)
    if name == "random-filter":
        return
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    moved = type(task)(task.train[order], task.train_labels[order], task.test, task.test_labels, CLASSES)
    other = type(given_)(given_.settings, moved, given_.poisons, {}, QUICK)
    kept, again = set(defence.run(given_).rows.tolist()), defence.run(other).rows
    back = torch.cat([order, torch.arange(120, 132)])
    assert set(back[again].tolist()) == kept


@pytest.mark.parametrize("k", [1, 4, 15])
def test_neighbours_vote_as_scikit_learns_do(k, task):
    labels = torch.randint(CLASSES, (120,), generator=torch.Generator().manual_seed(0))
    counted = votes(task.train, labels, k, CLASSES)
    assert counted.sum(1).tolist() == [k] * 120
    for row in range(0, 120, 17):
        others = np.arange(120) != row
        model = KNeighborsClassifier(k).fit(task.train[others].numpy(), labels[others].numpy())
        expected = k * model.predict_proba(task.train[row : row + 1].numpy())[0]
        np.testing.assert_allclose(counted[row].numpy(), expected, atol=1e-6)


def test_rows_that_their_neighbours_contradict_go(defending, task):
    wrong = task.train[:9] + 0.01, (task.train_labels[:9] + 1) % CLASSES
    given_ = defending("deep-knn", *wrong, neighbours=10)
    found = names.load("deep-knn").run(given_).rows
    counted = votes(given_.features, given_.labels, 10, CLASSES)
    agreed = counted[torch.arange(129), given_.labels] == counted.max(1).values
    assert found.tolist() == torch.nonzero(agreed).squeeze(1).tolist()
    assert (found >= 120).sum() <= 2


def test_spectral_signatures_project_on_the_top_direction(task):
    X = task.train.double().numpy()
    centred = X - X.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    np.testing.assert_allclose(squared_projections(task.train).numpy(), (centred @ vectors[:, -1]) ** 2)


def test_spectral_signatures_look_at_each_class_alone(defending, long_poisons, task):
    given_ = defending("spectral-signatures", *long_poisons, share=0.1)
    found = names.load("spectral-signatures").run(given_).rows
    for label in range(CLASSES):
        kept = (given_.labels[found] == label).sum()
        assert kept == 44 - 4  # of 40 clean ones and 4 poisons
    assert (found >= 120).sum() == 0


def test_a_small_cluster_is_found_as_by_scikit_learn():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(100, 20))
    features[:15, :3] += 9
    found = small_cluster(torch.from_numpy(features), 5, 0.35)
    cluster = KMeans(2, n_init=3, random_state=0).fit_predict(PCA(5).fit_transform(features))
    assert found.tolist() == (cluster == (cluster.mean() < 0.5)).tolist() == [True] * 15 + [False] * 85
    assert not small_cluster(torch.from_numpy(features), 5, 0.1).any()  # too large for a poison
    assert not small_cluster(torch.from_numpy(features[:2]), 5, 0.35).any()


def test_severs_scores_are_those_of_the_whole_matrix_of_gradients():
    X, labels, head = random_problem(40, 6, CLASSES)
    omega = head.omega.requires_grad_(True)
    gradients = []
    for x, label in zip(X, labels, strict=True):
        logits = omega[:, :-1] @ x + omega[:, -1]
        loss = torch.nn.functional.cross_entropy(logits[None], label[None])
        gradients.append(torch.autograd.grad(loss, omega)[0].flatten().numpy())
    G = np.stack(gradients) - np.mean(gradients, 0)
    expected = (G @ np.linalg.svd(G)[2][0]) ** 2
    np.testing.assert_allclose(sever.gradient_scores(X, labels, head).numpy(), expected, rtol=1e-6)


def test_sever_finds_rows_whose_gradients_agree(defending, long_poisons):
    found = names.load("sever").run(defending("sever", *long_poisons, share=0.2)).rows
    assert (found >= 120).sum() <= 3  # by chance 10 would stay


def test_the_trimmed_loss_never_rises(defending, long_poisons):
    """Each of its two steps minimises it: over heads, then over choices of as many rows."""
    given_, values = defending("trimmed-loss", *long_poisons, share=0.2), []
    for rounds in (1, 2, 4, 8):
        settings = given_.settings.model_copy(update={"rounds": rounds})
        one = type(given_)(settings, given_.task, given_.poisons, {}, given_.victims)
        rows = names.load("trimmed-loss").run(one).rows
        sets = TrainingSets.of_clean(one.features[rows], one.labels[rows])
        omega, _ = train_converged(sets, QUICK.converged, classes=CLASSES)
        head = Head.from_omega(omega[0])
        values.append(trimmed_loss.losses(one.features.double(), one.labels, head)[rows].mean().item())
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.9 * values[0]


def test_trimming_ends_where_it_repeats(defending, long_poisons):
    run = names.load("trimmed-loss").run
    ends = [
        run(defending("trimmed-loss", *long_poisons, share=0.1, rounds=rounds)).rows for rounds in (30, 60)
    ]
    assert torch.equal(*ends)


def test_the_ends_of_all_filters(defending, long_poisons):
    oracle = names.load("oracle-filter").run(defending("oracle-filter", *long_poisons))
    assert oracle.rows.tolist() == [*range(120)]
    draws = []
    for seed in (0, 1):
        given_ = defending("random-filter", *long_poisons)
        one = type(given_)(given_.settings, given_.task, given_.poisons, {}, QUICK, seed)
        draws.append(names.load("random-filter").run(one).rows.tolist())
    assert draws[0] != draws[1]
