"""Small real things that tests share."""

import os

import numpy as np
import pytest
import torch
from featpoison.encoders.encoder import Architecture, Encoder


def pytest_collection_modifyitems(items):
    """The graph's tests take longest, a worker of their own from the start; the audit's wait for the run
    that these make, so they come last."""
    places = {"workflow": 0, "test_audit": 2}
    items.sort(key=lambda item: places.get(item.path.stem, places.get(item.path.parent.name, 1)))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _sockets(tmp_path_factory, worker_id):
    """All workers share their warm interpreters, which end a minute after their last program."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "sockets"
    folder.mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(folder)


@pytest.fixture
def fewer_draws(monkeypatch):
    """Three hundred draws of the bootstrap instead of thousands."""
    from featpoison.results import bootstrap

    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    bootstrap.weights.cache_clear()
    yield
    bootstrap.weights.cache_clear()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """A small frozen encoder with lively BatchNorm statistics."""
    torch.manual_seed(0)
    encoder = Encoder(Architecture(width=8, stem_stride=2))
    encoder.train()
    for _ in range(3):
        encoder(torch.rand(32, 3, 32, 32))
    return encoder.freeze()


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Sixty uint8 images with some structure."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (60, 3, 8, 8))
    return np.kron(coarse, np.ones((1, 1, 4, 4))).astype(np.uint8)


@pytest.fixture(scope="session")
def demo_features() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """By the name of each of the demo's encoders, the features (1000, 128) float32 of its first training
    images, and their labels."""
    from featpoison.config import load
    from featpoison.datasets import sources
    from featpoison.encoders.encoder import load_encoder
    from featpoison.encoders.features import extract
    from helpers import ROOT

    demo = load(ROOT / "workflow/config/demo.yaml")
    dataset = sources.load(next(iter(demo.datasets.values())), ROOT)[0]
    labels = torch.from_numpy(dataset.train_labels[:1000]).long()
    encoders = {
        name: load_encoder(ROOT / source.weights.path)
        for name, source in demo.encoders.items()
        if source.weights
    }
    return {name: (extract(dataset.train_images[:1000], one), labels) for name, one in encoders.items()}
