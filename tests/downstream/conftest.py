"""A downstream task, and files of EMN's stages, that tests share."""

import pytest
import torch
from featpoison.downstream.task import Task
from noise_files import write_images, write_noise


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(3, 5, generator=generator)

    def draw(n):
        labels = torch.arange(n) % 3
        return centres[labels] + torch.randn(n, 5, generator=generator), labels

    return Task(*draw(240), *draw(90), classes=3)


@pytest.fixture
def files(images, tmp_path):
    """The path of a data set, and a function that writes a noise file for it."""

    def noise(name, variant, seed, **base):
        return write_noise(tmp_path / name, images, variant, seed, **base)

    return write_images(tmp_path, images), noise
