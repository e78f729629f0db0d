"""Figures 1, 2, 3, 6 and 7: what they choose, what they say, and that their bytes repeat."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.encoders.encoder import save_encoder
from featpoison.pretraining.augment import Augmentation
from featpoison.render import anomalies, examples, input_poisons, magnitudes, pca, stages, style, threat_model
from featpoison.render.contrastive_pairs import recorded_training, two_views
from featpoison.render.poison_images import Shown, first_distinct
from featpoison.results.cells import Cell
from helpers import RECORD, ROOT

CELLS = [
    Cell("feature-matching", 0.25, 0.03, "3x5", victim, 63.0, 60.0, 3.0, 1.0, 5.0, None, 1.5, 0.75, 1.25, "v.h5")
    for victim in ("sgd100", "converged")
]


def poisons(generator, count=12, scale=0.4) -> tuple[np.ndarray, np.ndarray]:
    """Base images and poisons around them."""
    base = generator.random((count, 3, 8, 8)).astype(np.float32)
    return base, base + scale * generator.normal(size=base.shape).astype(np.float32)


def of_sizes(beta: float, values: list[float], base: np.ndarray | None = None) -> Shown:
    """Poisons with these largest pixels."""
    images = np.full((len(values), 3, 4, 4), 0.1, np.float32)
    images[:, 0, 0, 0] = values
    return Shown(beta, 0.03, images, np.arange(len(values)) if base is None else base)


def parts() -> stages.Stages:
    generator = np.random.default_rng(0)
    train, zeta = generator.normal(size=(60, 6)), 3 * generator.normal(size=(12, 6))
    base, images = poisons(generator, 5)
    return stages.Stages(
        plane=pca.fit(train),
        train=train,
        test=generator.normal(size=(30, 6)),
        flipped=generator.random(30) < 0.2,
        accuracies=(0.9, 0.7),
        tau=1.5,
        start=train[:12],
        zeta=zeta,
        eps_d=0.2,
        residual=0.5,
        base=base,
        poisons=images,
        from_features=train[:5],
        to_features=(train[:5] + zeta[:5]) / 2,
        aims=zeta[:5],
        beta=0.25,
    )


def model() -> threat_model.ThreatModel:
    generator = np.random.default_rng(0)
    base, images = poisons(generator, 5)
    names = ["ant", "bee", "cat", "dog", "elk"]
    similarity = np.eye(5) * 0.5 + 0.4
    return threat_model.ThreatModel("SimCLR,\n3 epochs", np.stack([base, images]), similarity, base, names, images, names, (60, 12), 0.2, 0.25, CELLS)


def two_kinds() -> tuple[list[Shown], np.ndarray]:
    shown = [of_sizes(0.25, [0.5, 1.2, 0.9, 1.3, 0.8]), of_sizes(0.1, [0.7, 1.5, 1.1, 1.6, 0.9])]
    return shown, np.full((5, 3, 4, 4), 0.5, np.float32)


FIGURES = {
    "threat model": lambda: threat_model.draw(model()),
    "input poisons": lambda: input_poisons.draw(*reversed(poisons(np.random.default_rng(0), scale=30)), 1.0, CELLS, 10),
    "stages": lambda: stages.draw(parts()),
    "two scenarios": lambda: magnitudes.draw({"fine-tuning": two_kinds()[0], "transfer": two_kinds()[0][:1]}, 1.0),
    "anomalies": lambda: anomalies.draw(*two_kinds(), 1.0),
}


@pytest.mark.parametrize("form", ["png", "pdf"])
@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())
def test_pictures_repeat_byte_for_byte(draw, form, tmp_path):
    for name in ("a", "b"):
        style.save(draw(), tmp_path / f"{name}.{form}")
    assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
    assert (tmp_path / f"a.{form}").stat().st_size > 3000


def texts(figure) -> str:
    """All the words of a figure."""
    return "\n".join(item.get_text() for item in figure.findobj(lambda thing: hasattr(thing, "get_text")))


# Figure 1


def test_cosines_are_between_first_and_second_views(encoder, images):
    views, similarity = two_views(images[:6].astype(np.float32) / 255, Augmentation(jitter_probability=0.0), encoder, 0)
    assert views.shape == (2, 6, 3, 32, 32)
    assert not np.array_equal(views[0], views[1])
    again, _ = two_views(images[:6].astype(np.float32) / 255, Augmentation(jitter_probability=0.0), encoder, 0)
    np.testing.assert_array_equal(views, again)
    first, second = (encoder(torch.from_numpy(view)).double().numpy() for view in views)
    expected = first[2] @ second[4] / np.linalg.norm(first[2]) / np.linalg.norm(second[4])
    assert similarity[2, 4] == pytest.approx(expected, abs=1e-6)


def test_the_training_is_that_of_the_encoders_record(encoder, tmp_path):
    save_encoder(tmp_path / "none.safetensors", encoder, RECORD)
    assert recorded_training(tmp_path / "none.safetensors") == ("pre-trained", Augmentation())
    settings = {"epochs": 7, "augmentation": json.loads(Augmentation(crop_scale=(0.5, 0.9)).model_dump_json())}
    for name, record in (("own", RECORD | {"settings": settings}), ("imported", RECORD | {"origin": RECORD | {"settings": settings}})):
        save_encoder(tmp_path / f"{name}.safetensors", encoder, record)
        words, strengths = recorded_training(tmp_path / f"{name}.safetensors")
        assert "7 epochs" in words
        assert strengths.crop_scale == (0.5, 0.9)


def test_threat_model_shows_both_accuracies_of_both_victims():
    words = texts(threat_model.draw(replace(model(), cells=[CELLS[0], replace(CELLS[1], accuracy=41.25)])))
    assert words.count("63.0") == 2
    assert "60.0" in words
    assert "41.2" in words
    assert "N = 60 clean, n = 12 poisons" in words


def test_first_distinct():
    np.testing.assert_array_equal(first_distinct(np.array([5, 5, 2, 5, 9, 2, 1]), 3), [0, 2, 4])


# Figure 2


def test_note_says_how_far_the_pixels_go():
    images = np.zeros((3, 3, 2, 2), np.float32)
    images[0, 0, 0, 0], images[1, 0, 0, 0], images[2, 0, 0, 0] = 4, -10, 0.5
    note = input_poisons.note_of(images, 0.5, CELLS)
    assert "8 times" in note
    assert "at most 20" in note
    assert f"{100 * 2 / 36:.0f} % of the pixels" in note
    assert "sgd100 3.00 [1.00, 5.00]" in note


def test_stretch_uses_each_images_own_range():
    images = np.stack([np.full((3, 2, 2), 4.0), np.arange(12.0).reshape(3, 2, 2) - 6])
    found = input_poisons.stretch(images)
    assert not found[0].any()
    assert (found[1].min(), found[1].max()) == (0, 1)


# Figure 3


def test_the_plane_is_that_of_the_largest_variance_with_one_orientation():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(500, 4)) * [1, 5, 0.1, 3] + 7
    found = pca.fit(features)
    np.testing.assert_allclose(np.abs(found.axes[[1, 3], [0, 1]]), 1, atol=0.02)
    assert (found.axes[[1, 3], [0, 1]] > 0).all()
    np.testing.assert_allclose(found.project(features).mean(0), 0, atol=1e-12)
    shares = np.sort(np.linalg.eigvalsh(np.cov(features, rowvar=False)))
    assert found.share == pytest.approx(shares[-2:].sum() / shares.sum())


def test_a_window_holds_everything_at_one_scale():
    content = parts()
    limits = stages.window([content.train, content.zeta], content.plane, (2.0, 1.0))
    places = content.plane.project(content.zeta)
    assert (limits[0] < places.min(0)).all()
    assert (places.max(0) < limits[1]).all()
    size = limits[1] - limits[0]
    assert size[0] == pytest.approx(2 * size[1])


def test_stages_print_squared_distances_before_and_after():
    content = parts()
    words = texts(stages.draw(content))
    before, after = (np.square(part - content.aims).sum(1)[0] for part in (content.from_features, content.to_features))
    assert f"{before:.0f}→{after:.0f}" in words
    assert "90.0 → 70.0 %" in words
    assert "= 0.50 left" in words


# Figure 6


def test_scenarios_share_bins_and_show_common_betas():
    figure = magnitudes.draw({"fine-tuning": two_kinds()[0], "transfer": [of_sizes(0.1, [0.5, 3.0])]}, 1.0)
    (axes,) = figure.axes
    assert "fine-tuning 60 %, transfer 50 %" in axes.get_title()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["fine-tuning (n = 5)", "transfer (n = 2)", "largest clean pixel"]
    assert axes.get_legend() is None  # outside of the axes it meets no line
    with pytest.raises(ValueError, match="no beta is common"):
        magnitudes.draw({"a": [of_sizes(0.25, [1.0])], "b": [of_sizes(0.1, [1.0])]}, 1.0)


# Figure 7


def test_columns_are_normal_or_abnormal_for_as_many_betas_as_possible():
    shown, _ = two_kinds()
    normal, abnormal = anomalies.choose(shown, 1.0)
    assert normal.rows.tolist() == [0, 4, 2]  # 2 is abnormal at the smaller beta
    assert [one.tolist() for one in normal.belongs] == [[True, True, True], [True, True, False]]
    assert abnormal.rows.tolist() == [1, 3, 2]
    assert [one.tolist() for one in abnormal.belongs] == [[True, True, False], [True, True, True]]


def test_anomalies_are_counted_and_empty_places_explained():
    shown, clean = two_kinds()
    note = anomalies.note_of(shown, anomalies.choose(shown, 1.0), 1.0)
    assert "2 of 5 at beta = 0.25, 3 of 5 at beta = 0.1" in note
    assert "0.1 has 2 within the clean range" in note
    figure = anomalies.draw(shown, clean, 1.0)
    filled = sum(bool(axes.images) for axes in figure.axes)
    assert filled == 2 * 3 + 5 + 5  # base images of both kinds, then 3 + 2 and 2 + 3 poisons
    full = [of_sizes(beta, [0.5] * 4 + [1.5] * 4) for beta in (0.25, 0.1)]
    assert "empty" not in anomalies.note_of(full, anomalies.choose(full, 1.0), 1.0)
    none = [of_sizes(beta, [0.5] * 4) for beta in (0.25, 0.1)]
    assert "0.25 has 0 beyond it" in anomalies.note_of(none, anomalies.choose(none, 1.0), 1.0)
    anomalies.draw(none, clean, 1.0)


def test_poisons_of_other_base_images_cannot_share_columns():
    with pytest.raises(ValueError, match="different base images"):
        anomalies.choose([of_sizes(0.25, [0.5, 1.5]), of_sizes(0.1, [0.5, 1.5], np.array([3, 4]))], 1.0)


def test_the_program_of_figure_2_reads_poisons_of_an_input_space_attack(tmp_path):
    """These have no beta."""
    base, images = poisons(np.random.default_rng(0), scale=5)
    accuracy = {"sgd100_accuracy": np.full((1, 2, 3), 0.6), "converged_accuracy": np.full(1, 0.6)}
    facts = {"residual": np.full(2, 0.5), "feature_magnitude_ratio": np.full(2, 9.0)}
    poisoned = {"sgd100_accuracy": np.full((2, 2, 3), 0.5), "converged_accuracy": np.full(2, 0.5)}
    store.write(tmp_path / "images.h5", {"train_images": (255 * base).astype(np.uint8)}, RECORD)
    store.write(tmp_path / "poisons.h5", {"images": images, "base": np.arange(12)}, RECORD, eps_d=0.2)
    store.write(tmp_path / "clean.h5", accuracy, RECORD)
    store.write(tmp_path / "victims.h5", poisoned | facts, RECORD, tau=1.0)
    options = [part for name in ("images", "poisons", "clean", "victims") for part in (f"--{name}", str(tmp_path / f"{name}.h5"))]
    command = [sys.executable, str(ROOT / "scripts/plot_input_poisons.py"), *options, str(tmp_path / "figure2.pdf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure2.pdf").stat().st_size > 3000


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
    command = [sys.executable, str(ROOT / "scripts/plot_examples.py"), "--images", str(pictures[0]), "--count", "4", *map(str, outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for output in outputs:
        assert output.stat().st_size > 1000
        assert output.with_name(f"{output.name}.provenance.json").exists()
