"""Figure 10: the first images of each class."""

import numpy as np
import pytest
from featpoison import store
from featpoison.render import examples
from helpers import RECORD, ROOT, ran
from oracles.pictures import of_picture, poisons


@pytest.fixture
def pictures(tmp_path):
    """Twelve training images of three classes, one of them empty."""
    base, _ = poisons(np.random.default_rng(0))
    arrays = {"train_images": (255 * base).astype(np.uint8), "train_labels": np.arange(12) % 2}
    store.write(tmp_path / "images.h5", arrays, RECORD, classes=["ant", "bee", "cat"])
    return tmp_path / "images.h5", arrays["train_images"]


def test_figure_10_shows_the_first_images_of_each_class(pictures):
    path, images = pictures
    labels = store.read(path, "train_labels")["train_labels"]
    rows = [(name, examples.first_of(labels, value, 4)) for value, name in enumerate(["ant", "bee", "cat"])]
    figure = examples.draw(path, rows, 12)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    expected = [images[row].transpose(1, 2, 0) / 255 for row in (0, 2, 4, 6, 1, 3, 5, 7)]
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert "2 of 3 classes" in figure.texts[0].get_text()


def test_the_program_of_figure_10_writes_every_form(pictures, tmp_path):
    outputs = [tmp_path / "figure10.pdf", tmp_path / "figure10.png"]
    command = [str(ROOT / "scripts/plot_examples.py"), "--images", str(pictures[0])]
    command += ["--count", "4", *map(str, outputs)]
    done = ran(*command)
    assert done.returncode == 0, done.stderr
    for output in outputs:
        assert output.stat().st_size > 1000
        assert output.with_name(f"{output.name}.provenance.json").exists()
    assert of_picture(outputs[1]) > 0.05
