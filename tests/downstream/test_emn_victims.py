"""From noise files to victims, tables and Figure 8."""

import math

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.downstream.emn_victims import noise_facts, read_unlearnable, retrain_heads, retrain_whole
from featpoison.downstream.metrics import accuracy, psnr
from featpoison.downstream.networks import NetworkVictims, Training
from featpoison.downstream.victims import Victims
from featpoison.encoders.features import extract
from featpoison.heads import SGD100, train
from featpoison.records.checkpoints import Checkpoint
from featpoison.render import emn_noise as figure
from featpoison.render import latex, layout, picture, style
from featpoison.results.cells import Request, cells_of, from_csv, published_drops, to_csv, training_images
from helpers import RECORD, ROOT

HEADS = Victims(sgd100=SGD100(epochs=12, batch_size=16), seeds=(0, 1))
WHOLE = NetworkVictims(epochs=2, training=Training(batch_size=16), precision="float32", seeds=(0, 1, 2))
BASE = np.arange(1, 40, 2)


@pytest.fixture
def files(images, tmp_path):
    labels = np.arange(60) % 3
    arrays = {"train_images": images[:40], "train_labels": labels[:40], "test_images": images[40:], "test_labels": labels[40:]}
    store.write(tmp_path / "images.h5", arrays, RECORD, classes=["a", "b", "c"])

    def noise(name: str, variant: str, seed: int, base: np.ndarray = BASE):
        generator = np.random.default_rng(seed)
        clean = images[base].astype(np.float32) / 255
        drawn = generator.uniform(-8 / 255, 8 / 255, clean.shape).astype(np.float32)
        arrays = {"noise": np.clip(drawn, -clean, 1 - clean), "labels": labels[base], "base": base, "error": np.array([0.5, 0.25 * seed])}
        store.write(tmp_path / name, arrays, RECORD, variant=variant, by_criterion=seed == 0)
        return tmp_path / name

    return tmp_path / "images.h5", noise


def test_what_is_read(files, images):
    path, noise = files
    data = read_unlearnable(path, [noise("a.h5", "input", 0), noise("b.h5", "input", 1)])
    assert np.array_equal(data.clean, images[BASE])
    assert torch.equal(data.labels, torch.from_numpy(BASE % 3))
    assert (data.training_error.tolist(), data.by_criterion) == ([0.0, 0.25], [True, False])
    for perturbed, quantized in zip(data.perturbed, data.quantized, strict=True):
        assert quantized.dtype == torch.uint8
        assert (quantized.int() - data.clean.int()).abs().max() <= 8
        assert (quantized.float() / 255 - perturbed).abs().max() <= 0.5 / 255 + 1e-6
    facts = noise_facts(data)
    assert facts["noise_magnitude"] == pytest.approx([8 / 255] * 2, rel=1e-2)
    assert facts["psnr"] == pytest.approx([-10 * math.log10((8 / 255) ** 2 / 3)] * 2, abs=0.3)  # uniform noise, a bit less where it is clipped


def test_psnr_of_a_constant_offset():
    images = torch.rand(3, 3, 4, 4)
    assert psnr(images + 0.1, images) == pytest.approx(20, abs=1e-3)


@pytest.mark.parametrize("changes", [{"variant": "original"}, {"base": BASE[:-1]}, {"base": BASE - 1}])
def test_files_that_do_not_belong_together_are_named(changes, files):
    path, noise = files
    with pytest.raises(ValueError, match=r"b\.h5: variant '.*expected 'input' on the 20 rows"):
        read_unlearnable(path, [noise("a.h5", "input", 0), noise("b.h5", **{"variant": "input", "seed": 1} | changes)])


def test_heads_are_retrained_on_perturbed_quantized_and_clean_features(files, encoder):
    path, noise = files
    data = read_unlearnable(path, [noise("a.h5", "input", 0), noise("b.h5", "input", 1)])
    arrays = retrain_heads(data, encoder, HEADS)
    assert arrays["sgd100_accuracy"].shape == arrays["quantized_sgd100_accuracy"].shape == (2, 2, 10)
    assert arrays["clean_converged_accuracy"].shape == (1,)
    test = extract(data.test, encoder)
    for name, index, images in (("", 1, data.perturbed[1]), ("quantized_", 0, data.quantized[0]), ("clean_", 0, data.clean)):
        head = train(extract(images, encoder), data.labels, HEADS.sgd100, classes=3, seed=1)
        np.testing.assert_allclose(arrays[f"{name}sgd100_omega"][index, 1], head.omega, rtol=1e-4, atol=1e-5)
        assert arrays[f"{name}sgd100_accuracy"][index, 1, -1] == accuracy(test, data.test_labels, head.omega).item()


def test_whole_networks_are_retrained_on_all_three(files, encoder, tmp_path):
    path, noise = files
    data = read_unlearnable(path, [noise("a.h5", "end-to-end", 0), noise("b.h5", "end-to-end", 1)])
    arrays = retrain_whole(data, encoder, WHOLE, Checkpoint(tmp_path / "out", {}))
    assert {name: array.shape for name, array in arrays.items()} == {
        "network_accuracy": (2, 3),
        "quantized_network_accuracy": (2, 3),
        "clean_network_accuracy": (1, 3),
    }
    swapped = read_unlearnable(path, [tmp_path / "b.h5", tmp_path / "a.h5"])
    again = retrain_whole(swapped, encoder, WHOLE, Checkpoint(tmp_path / "other", {}))
    np.testing.assert_array_equal(again["network_accuracy"], arrays["network_accuracy"][::-1])
    np.testing.assert_array_equal(again["clean_network_accuracy"], arrays["clean_network_accuracy"])


def test_the_rate_of_pretrained_networks_is_their_own(files, encoder, tmp_path, monkeypatch):
    path, noise = files
    rates = {}

    def seen(*args, rate, **named):
        rates[args[0][0].shape, variant] = rate
        return np.zeros((3, 1))

    monkeypatch.setattr("featpoison.downstream.emn_victims.retrain_networks", seen)
    victims = WHOLE.model_copy(update={"pretrained_learning_rate": 0.002})
    for variant in ("original", "end-to-end"):
        data = read_unlearnable(path, [noise(f"{variant}.h5", variant, 0)])
        retrain_whole(data, encoder, victims, Checkpoint(tmp_path / "out", {}))
    assert list(rates.values()) == [0.1, 0.002]


# Table 4


@pytest.fixture
def cells(tmp_path):
    psnr = {"psnr": np.array([30.0])}
    network = psnr | {"network_accuracy": np.array([[0.2, 0.3], [0.3, 0.4]]), "clean_network_accuracy": np.array([[0.5, 0.7]])}
    store.write(tmp_path / "network.h5", network, RECORD)
    heads = psnr | {"sgd100_accuracy": np.array([[[0.0, 0.5]], [[0.0, 0.6]]]), "clean_sgd100_accuracy": np.array([[[0.0, 0.8]]])}
    heads |= {"converged_accuracy": np.array([0.55, 0.65]), "clean_converged_accuracy": np.array([0.7])}
    store.write(tmp_path / "heads.h5", heads, RECORD)
    published = published_drops(ROOT / "data/published/published_results.csv", 4)
    requests = [
        Request(f"emn-{variant}/fine-tuning", None, math.inf, str(tmp_path / name))
        for variant, name in (("original", "network.h5"), ("input", "heads.h5"))
    ]
    return [cell for request in requests for cell in cells_of(request, None, None, published[request.method, None, math.inf])]


def test_cells_of_emn(cells):
    network, sgd100, converged = cells
    assert [cell.victim for cell in cells] == ["network", "sgd100", "converged"]
    assert (network.drop, sgd100.drop, converged.drop) == (pytest.approx(30), pytest.approx(25), pytest.approx(10))
    assert (network.clean_accuracy, network.seeds, network.published_drop) == (pytest.approx(60), "2x2", 74.84)
    assert (sgd100.clean_accuracy, converged.clean_accuracy, converged.published_drop) == (pytest.approx(80), pytest.approx(70), 7.55)
    assert {(cell.tau, cell.residual, cell.magnitude_ratio) for cell in cells} == {(None, None, None)}
    text = to_csv(cells)
    assert text.splitlines()[1].startswith("emn-original/fine-tuning,,inf,2x2,network,60,30,30,")
    back = from_csv(text)
    assert [(cell.method, cell.eps_d, cell.tau) for cell in back] == [(cell.method, math.inf, None) for cell in cells]


def test_other_attacks_need_clean_heads(tmp_path):
    with pytest.raises(ValueError, match="gc-feature: no file of clean heads"):
        cells_of(Request("gc-feature", None, 0.03, "x.h5"), None, None, None)


def test_table_4_as_text_and_picture(cells, tmp_path):
    first, second = layout.lines_of(cells)
    assert (first.title, second.title) == ("EMN, from scratch (fine-tuning)", "EMN, frozen encoder (fine-tuning)")
    assert first.cells[0][0] == "74.84"
    assert first.cells[0][1].startswith("30.00 [")
    assert first.cells[0][2:] == ("", "", "60.00")
    assert second.cells[0][4] == "80.00 / 70.00"
    facts = layout.Facts(eps_w=1.0, swing=0.5, images=200)
    text = latex.to_latex(cells, facts, ["a.csv sha256 00"])
    assert r"$\epsilon_d = \infty$" in text
    assert "ours, network" in text
    assert "All 200 training images" in text
    assert r"\|R\|" not in text
    for name in ("a", "b"):
        style.save(picture.draw(cells, facts), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_training_images_are_one_number(tmp_path):
    for name, facts in (("a", {"images": 200}), ("b", {"images": 100}), ("c", {})):
        store.write(tmp_path / name, {"x": np.zeros(1)}, RECORD, **facts)
    assert training_images([tmp_path / "a", tmp_path / "c"]) == 200
    assert training_images([tmp_path / "c"]) is None
    with pytest.raises(ValueError, match=r"\[100, 200\] training images"):
        training_images([tmp_path / "a", tmp_path / "b"])


# Figure 8


def test_figure_8_shows_clean_images_once_and_scales_the_noise(files, images, monkeypatch):
    path, noise = files
    names = noise("a.h5", "input", 0), noise("b.h5", "input", 1), noise("c.h5", "input", 2, BASE - 1)
    shown = [figure.read_perturbed(scenario, path, file, 4) for scenario, file in zip(("one", "two", "three"), names, strict=True)]
    rows = {}
    monkeypatch.setattr(figure.grid, "draw", lambda lines, note: rows.update(lines=lines, note=note))
    figure.draw(shown[:2], 10.0)
    assert [label for label, _ in rows["lines"]] == ["clean", "one", "two", "one, noise x 10", "two, noise x 10"]
    clean, one, _, amplified, _ = (array for _, array in rows["lines"])
    np.testing.assert_allclose(clean, images[BASE[:4]] / 255, rtol=1e-6)
    np.testing.assert_allclose(amplified, 0.5 + 10 * (one - clean), atol=1e-5)
    assert "10 times" in rows["note"]
    figure.draw(shown, 10.0)
    assert [label for label, _ in rows["lines"]][:5] == ["clean", "one", "two", "clean", "three"]
