"""Accuracy by hand, and against scikit-learn."""

import numpy as np
import pytest
import torch
from featpoison import softmax
from featpoison.downstream.accuracy import accuracy
from featpoison.softmax import Head
from helpers import random_problem
from sklearn.metrics import accuracy_score


def test_accuracy_by_hand():
    X = torch.tensor([[1.0], [-1.0], [2.0], [-3.0]])
    omega = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]]])
    assert accuracy(X, torch.tensor([0, 1, 1, 1]), omega).tolist() == [0.75, 0.25]


def test_accuracy_of_many_heads_is_scikit_learns():
    X, labels, _ = random_problem(50, 4, 3)
    omega = torch.randn(2, 3, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = accuracy(X.float(), labels, omega)
    assert (found.shape, found.dtype) == ((2, 3), torch.float64)
    for place in np.ndindex(2, 3):
        predicted = softmax.logits(X, Head.from_omega(omega[place])).argmax(1)
        assert found[place].item() == pytest.approx(accuracy_score(labels, predicted))
    assert found.unique().numel() > 1
