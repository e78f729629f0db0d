"""EMN in Table 4."""

import math

import numpy as np
import pytest
from featpoison import store
from featpoison.render import latex, layout, picture, style
from featpoison.results.cells import Request, cells_of, from_csv, published_drops, to_csv, training_images
from helpers import RECORD, ROOT


@pytest.fixture
def cells(tmp_path):
    psnr = {"psnr": np.array([30.0])}
    network = psnr | {
        "network_accuracy": np.array([[0.2, 0.3], [0.3, 0.4]]),
        "clean_network_accuracy": np.array([[0.5, 0.7]]),
    }
    store.write(tmp_path / "network.h5", network, RECORD)
    heads = psnr | {
        "sgd100_accuracy": np.array([[[0.0, 0.5]], [[0.0, 0.6]]]),
        "clean_sgd100_accuracy": np.array([[[0.0, 0.8]]]),
    }
    heads |= {"converged_accuracy": np.array([0.55, 0.65]), "clean_converged_accuracy": np.array([0.7])}
    store.write(tmp_path / "heads.h5", heads, RECORD)
    published = published_drops(ROOT / "data/published/published_results.csv", 4)
    requests = [
        Request(f"emn-{variant}/fine-tuning", None, math.inf, str(tmp_path / name))
        for variant, name in (("original", "network.h5"), ("input", "heads.h5"))
    ]
    return [
        cell
        for request in requests
        for cell in cells_of(request, None, None, published[request.method, None, math.inf])
    ]


def test_cells_of_emn(cells):
    network, sgd100, converged = cells
    assert [cell.victim for cell in cells] == ["network", "sgd100", "converged"]
    assert (network.drop, sgd100.drop, converged.drop) == (
        pytest.approx(30),
        pytest.approx(25),
        pytest.approx(10),
    )
    assert (network.clean_accuracy, network.seeds, network.published_drop) == (
        pytest.approx(60),
        "2x2",
        74.84,
    )
    assert (sgd100.clean_accuracy, converged.clean_accuracy, converged.published_drop) == (
        pytest.approx(80),
        pytest.approx(70),
        7.55,
    )
    assert {(cell.tau, cell.residual, cell.magnitude_ratio) for cell in cells} == {(None, None, None)}
    text = to_csv(cells)
    assert text.splitlines()[1].startswith("emn-original/fine-tuning,,inf,2x2,network,60,30,30,")
    back = from_csv(text)
    assert [(cell.method, cell.eps_d, cell.tau) for cell in back] == [
        (cell.method, math.inf, None) for cell in cells
    ]


def test_other_attacks_need_clean_heads(tmp_path):
    with pytest.raises(ValueError, match="gc-feature: no file of clean heads"):
        cells_of(Request("gc-feature", None, 0.03, "x.h5"), None, None, None)


def test_table_4_as_text_and_picture(cells, tmp_path):
    first, second = layout.lines_of(cells)
    assert (first.title, second.title) == (
        "EMN, from scratch (fine-tuning)",
        "EMN, frozen encoder (fine-tuning)",
    )
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
