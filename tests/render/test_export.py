"""Poison images as files: what they hold, and which folders they may fill."""

import csv

import numpy as np
import pytest
from featpoison import store
from featpoison.audit.lineage import read_record
from featpoison.render.export import ExportedImages, ExportError, export
from helpers import RECORD, ROOT, ran
from PIL import Image
from safetensors.numpy import load_file
from torchvision.datasets import ImageFolder

CLASSES = ("ant", "bee", "cat", "dog")


@pytest.fixture
def poisons() -> ExportedImages:
    generator = np.random.default_rng(0)
    images = generator.normal(0.5, 0.6, (9, 3, 8, 8)).astype(np.float32)
    images[0, 0, 0, :4] = [0.5 / 255, 1.5 / 255, 2.5 / 255, 254.5 / 255]
    return ExportedImages(images, np.array([3, 0, 1, 1, 3, 0, 0, 1, 3]), np.arange(9) * 11, CLASSES)


def rows(folder) -> list[dict[str, str]]:
    with open(folder / "poisons.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_png_files_hold_the_rounded_clipped_image_exactly(poisons, tmp_path):
    export(poisons, tmp_path / "out", RECORD)
    found = np.stack(
        [
            np.asarray(Image.open(tmp_path / "out" / row["file"])).transpose(2, 0, 1)
            for row in rows(tmp_path / "out")
        ]
    )
    np.testing.assert_array_equal(found, np.round(np.clip(poisons.images, 0, 1) * 255))
    assert found.dtype == np.uint8
    assert {0, 255} <= set(found.ravel())


def test_image_folder_reads_it_and_labels_agree(poisons, tmp_path):
    export(poisons, tmp_path / "out", RECORD)
    dataset = ImageFolder(str(tmp_path / "out"), allow_empty=True)
    table = {row["file"]: row for row in rows(tmp_path / "out")}
    assert tuple(dataset.classes) == CLASSES  # though no poison is a cat
    assert len(dataset) == len(table) == 9
    for path, index in dataset.samples:
        row = table[path.removeprefix(f"{tmp_path / 'out'}/")]
        number = int(row["file"].partition("/")[2].removesuffix(".png"))
        assert index == int(row["label"])
        assert dataset.classes[index] == row["class"] == CLASSES[int(row["label"])]
        assert (int(row["label"]), int(row["base"])) == (poisons.labels[number], poisons.base[number])


def test_floats_are_kept_with_their_provenance(poisons, tmp_path):
    for name in ("a", "b"):
        export(poisons, tmp_path / name, RECORD)
    path = tmp_path / "a/poisons.safetensors"
    kept = load_file(path)
    for name in ("images", "labels", "base"):
        np.testing.assert_array_equal(kept[name], getattr(poisons, name))
    assert read_record(path) == RECORD
    for file in (tmp_path / "a").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_a_folder_with_anything_in_it_is_left_alone(poisons, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(ExportError, match=f"{name}: exists and is not an empty folder"):
            export(poisons, tmp_path / name, RECORD)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    export(poisons, tmp_path / "empty", RECORD)
    assert len(rows(tmp_path / "empty")) == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_labels_and_class_names_have_to_fit(poisons):
    with pytest.raises(ExportError, match="labels run from 0 to 3, expected 0 to 1"):
        ExportedImages(poisons.images, poisons.labels, poisons.base, ("ant", "bee"))


NAMES = (
    ("T-shirt/top", "Trouser", "Pullover", "Dress"),  # Fashion-MNIST's
    ("dog", "cat", "bee", "ant"),  # not in the order of their names
    tuple(map(str, range(12))),  # 10 sorts before 2
    ("", ".", "..", "a:b"),
    ("same", "same", ".hidden", "ends. "),
    ("été", "naïve", "ß", "日本"),
)


@pytest.mark.parametrize("classes", NAMES, ids=lambda names: names[0] or "empty")
def test_image_folder_numbers_classes_of_any_names_as_the_data_set_does(classes, tmp_path):
    labels = np.array([1, 3, 1, 0, len(classes) - 1])
    images = np.zeros((5, 3, 8, 8), np.float32)
    poisons = ExportedImages(images, labels, np.arange(5), classes)
    export(poisons, tmp_path / "out", RECORD)
    dataset = ImageFolder(str(tmp_path / "out"), allow_empty=True)
    assert len(dataset.classes) == len(classes)
    found = {path.removeprefix(f"{tmp_path / 'out'}/"): label for path, label in dataset.samples}
    assert [found[row["file"]] for row in rows(tmp_path / "out")] == list(labels)
    assert [row["class"] for row in rows(tmp_path / "out")] == [classes[label] for label in labels]
    assert "in the order of the labels" in " ".join(poisons.remarks())


def test_what_is_unusual_is_said(poisons):
    clipped, empty = poisons.remarks()
    assert "outside [0, 1]" in clipped
    assert empty.startswith("no poison has the class cat:")
    tame = ExportedImages(np.zeros((4, 3, 8, 8), np.float32), np.arange(4), np.arange(4), CLASSES)
    assert tame.remarks() == []


def test_the_program_exports_a_poison_file(poisons, tmp_path):
    store.write(
        tmp_path / "p.h5",
        {"images": poisons.images, "labels": poisons.labels, "base": poisons.base},
        RECORD,
        eps_d=0.1,
    )
    store.write(
        tmp_path / "i.h5", {"train_images": np.zeros((1, 3, 8, 8), np.uint8)}, RECORD, classes=list(CLASSES)
    )
    command = [
        str(ROOT / "scripts/export_poisons.py"),
        "--poisons",
        str(tmp_path / "p.h5"),
        "--images",
        str(tmp_path / "i.h5"),
    ]
    first, second = (ran(*command, tmp_path / "out") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert "9 poisons" in first.stderr
    assert len(ImageFolder(str(tmp_path / "out"), allow_empty=True)) == 9
    assert second.returncode == 1
    assert "not an empty folder" in second.stderr
    assert "Traceback" not in second.stderr
