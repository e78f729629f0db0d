import torch
from featpoison.solvers.training_sets import TrainingSets
from problems import blobs, poisoned_sets


def test_rows_are_those_of_one_set():
    assert poisoned_sets(K=3, n=20).rows == 300 + 20
    clean = TrainingSets.of_clean(*blobs())
    assert clean.rows == 300
    assert clean.poisons.shape == (1, 0, 6)
    assert clean.poison_labels.shape == (1, 0)


def test_each_is_one_set_with_its_own_poisons():
    sets = poisoned_sets(K=3)
    for k, one in enumerate(sets.each()):
        assert one.clean is sets.clean
        assert torch.equal(one.poisons, sets.poisons[k : k + 1])
        assert torch.equal(one.poison_labels, sets.poison_labels[k : k + 1])
    assert len(sets.each()) == 3


def test_features_change_their_type_and_labels_do_not():
    sets = poisoned_sets().to(torch.device("cpu"), torch.float32)
    assert (sets.clean.dtype, sets.poisons.dtype) == (torch.float32, torch.float32)
    assert (sets.clean_labels.dtype, sets.poison_labels.dtype) == (torch.int64, torch.int64)
