"""All figures: none of their panels is blank, and their bytes repeat."""

import numpy as np
import pytest
from featpoison.render import (
    anomalies,
    emn_noise,
    input_poisons,
    magnitudes,
    perturbations,
    picture,
    poisons,
    reconstructions,
    stages,
    style,
    threat_model,
)
from matplotlib.figure import Figure
from oracles import pictures
from oracles.pictures import assert_drawn, of_picture, of_two_betas, panels, two_kinds

ERRORS = {kind: {"l1": 0.1, "ms_ssim": 0.5} for kind in ("plain", "end-to-end", "skip")}


def perturbed():
    base, noisy = pictures.poisons(np.random.default_rng(0), 5, 0.03)
    parts = [emn_noise.Perturbed(name, base, noisy - base) for name in ("fine-tuning", "transfer")]
    return emn_noise.draw(parts, 12.0)


def reconstructed():
    generator = np.random.default_rng(0)
    shown = {name: generator.random((4, 3, 8, 8), np.float32) for name in ("original", *ERRORS)}
    return reconstructions.draw(shown, ERRORS, 20)


def far_from_clean():
    base, images = pictures.poisons(np.random.default_rng(0), scale=30)
    return input_poisons.draw(images, base, 1.0, pictures.OF_ONE_ATTACK, 10)


FIGURES = {
    "threat model": lambda: threat_model.draw(pictures.threat()),
    "input poisons": far_from_clean,
    "stages": lambda: stages.draw(pictures.three_stages()),
    "reconstructions": reconstructed,
    "poisons": lambda: poisons.draw(*of_two_betas()),
    "magnitudes": lambda: magnitudes.draw({"fine-tuning": two_kinds()[0]}, 1.0),
    "two scenarios": lambda: magnitudes.draw(
        {"fine-tuning": two_kinds()[0], "transfer": two_kinds()[0][:1]}, 1.0
    ),
    "anomalies": lambda: anomalies.draw(*two_kinds(), 1.0),
    "noise": perturbed,
    "perturbations": lambda: perturbations.draw(*of_two_betas()),
    "table": lambda: picture.draw(pictures.CELLS, pictures.FACTS),
}
IMAGES_SHOWN = {
    "threat model": 2 * 5 + 1 + 2 * 5,  # views, the matrix of cosines, clean images and poisons
    "input poisons": 3 * 10,
    "stages": 2 * 5,
    "reconstructions": 4 * 4,
    "poisons": 3 * 4,
    "magnitudes": 0,
    "two scenarios": 0,
    "anomalies": 16,
    "noise": 5 * 5,  # clean once, then images and noise of both scenarios
    "perturbations": 2 * 4,
    "table": 0,
}
every_figure = pytest.mark.parametrize("name", FIGURES)


@every_figure
def test_pictures_show_something_and_repeat_byte_for_byte(name, tmp_path):
    for copy in ("a", "b"):
        figure = FIGURES[name]()
        for form in ("png", "pdf"):
            style.save(figure, tmp_path / f"{copy}.{form}")
    for form in ("png", "pdf"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
        assert (tmp_path / f"a.{form}").stat().st_size > 3000
    assert of_picture(tmp_path / "a.png") > 0.05


@every_figure
def test_every_panel_shows_something(name):
    figure = FIGURES[name]()
    assert_drawn(figure)
    assert sum(len(axes.images) for axes in figure.axes if axes.axison or axes.images) >= IMAGES_SHOWN[name]


@every_figure
def test_a_figure_without_content_is_found(name):
    """Axes, titles and labels alone are no picture."""
    figure = FIGURES[name]()
    pictures.clear(figure)
    with pytest.raises(AssertionError, match="no panel shows anything"):
        assert_drawn(figure)


@every_figure
def test_a_blank_panel_is_found(name):
    """One panel is painted white, or its content is invisible; the others are as they were."""
    figure = FIGURES[name]()
    axes = panels(figure)[-1]
    for artist in pictures.content_of(axes):
        if artist in axes.images:
            artist.set_data(np.ones((4, 4, 3)))
        else:
            artist.set(alpha=0, **({"hatch": None} if hasattr(artist, "set_hatch") else {}))
    with pytest.raises(AssertionError, match=r"of one colour|shows nothing"):
        assert_drawn(figure)


def test_an_empty_picture_is_blank(tmp_path):
    style.save(Figure(figsize=(2, 1)), tmp_path / "empty.png")
    assert of_picture(tmp_path / "empty.png") == 0
