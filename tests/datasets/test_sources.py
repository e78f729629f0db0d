"""Data sets as configurations give them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from archives import cifar10_members, cifar100_members, mirrored_cifar100, short, tar
from featpoison import config, store
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import trace, tree
from featpoison.datasets.downloads import MIRROR_VARIABLE, DigestError
from featpoison.datasets.images import balanced_subset
from featpoison.datasets.sources import Dataset, load
from featpoison.records.provenance import sha256_bytes
from helpers import ROOT


def test_an_unverifiable_repackaged_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, str(tmp_path))
    tar(tmp_path / "other.tar.xz", cifar10_members())
    entry = {
        "format": "cifar-10-binary",
        "archive": {"url": "http://127.0.0.1/c.tar.gz", "mirror_names": ("other.tar.xz",)},
    }
    with pytest.raises(DigestError, match="no digests of its members"):
        load(Dataset.model_validate(entry), tmp_path)


def test_a_folder_that_is_missing_stops_the_workflow():
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    values["datasets"]["mine"] = {"format": "image-folder", "archive": {"path": "tests"}, "side": 32}
    config.parse(values, "demo.yaml")
    values["datasets"]["mine"]["archive"]["path"] = "absent/images"
    with pytest.raises(
        config.ConfigError, match=r"demo\.yaml: datasets\.mine: the folder absent/images does not exist"
    ):
        config.parse(values, "demo.yaml")


SOURCE = {"url": "http://127.0.0.1:9/a"}


FOUR = dict.fromkeys(("train_images", "train_labels", "test_images", "test_labels"), SOURCE)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"format": "cifar-100-binary"}, "'archive' is missing, expected it for cifar-100-binary"),
        (
            {"format": "cifar-10-binary", "archive": SOURCE, "side": 64},
            "'side' is 64, expected none for cifar-10-binary",
        ),
        (
            {"format": "cifar-10-binary", "archive": SOURCE, "archives": FOUR},
            r"'archives' are .*, expected \[\] for cifar-10-binary",
        ),
        (
            {"format": "fashion-mnist", "archive": SOURCE},
            "'archive' is given, expected archives for fashion-mnist",
        ),
        (
            {"format": "fashion-mnist", "archives": FOUR | {"more": SOURCE}},
            "'archives' are .*'more'.*expected .*'train_labels'. for",
        ),
        (
            {"format": "fashion-mnist", "archives": FOUR, "members": {"a": "b" * 64}},
            "'members' are checked for cifar-10-binary, cifar-100-binary alone",
        ),
        (
            {"format": "patch-camelyon", "archives": FOUR},
            "expected .'test_x', 'test_y', 'train_x', 'train_y'. for patch-camelyon",
        ),
        ({"format": "tiny-imagenet-200", "archive": SOURCE}, "'side' is required for tiny-imagenet-200"),
        ({"format": "image-folder", "archive": {"path": "x"}}, "'side' is required for image-folder"),
        (
            {"format": "image-folder", "archive": SOURCE, "side": 8},
            r"'archive' has \['url'\], expected 'path', a folder",
        ),
        (
            {"format": "image-folder", "archive": {"path": "x", "md5": "0" * 32}, "side": 8},
            r"'archive' has \['md5', 'path'\]",
        ),
        (
            {"format": "cifar-100-binary", "archive": SOURCE, "seed": 1},
            "'train_images' and 'seed' go together",
        ),
        (
            {"format": "cifar-100-binary", "archive": SOURCE, "train_images": 1},
            "'train_images' and 'seed' go together",
        ),
        (
            {"format": "cifar-100-binary", "archive": SOURCE, "train_images": 0, "seed": 1},
            "train_images\n.*greater than 0",
        ),
        (
            {"format": "cifar-10-binary", "archive": SOURCE, "validation_images": 2},
            "'validation_images' is 2, expected 'train_images' too",
        ),
        (
            {
                "format": "image-folder",
                "archive": {"path": "pictures"},
                "side": 8,
                "train_images": 2,
                "validation_images": 2,
                "seed": 0,
            },
            "'validation_images' is 2, expected none for image-folder",
        ),
        ({"format": "mnist", "archive": SOURCE}, "format\n.*'fashion-mnist'"),
    ],
    ids=short,
)
def test_options_that_do_not_fit_name_their_key(entry, expected):
    with pytest.raises(ValueError, match=expected):
        Dataset.model_validate(entry)


def test_the_paper_pins_every_archive():
    values = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())["datasets"]
    for name, value in values.items():
        for source in Dataset.model_validate_json(json.dumps(value)).sources:
            assert source.size, name
            assert len(source.sha256) == 64, name
    assert values["pcam-5000"]["train_images"] == 5000


def test_the_program_writes_the_product_and_the_audit_names_each_archive(tmp_path, monkeypatch):
    entry = mirrored_cifar100(tmp_path, monkeypatch, cifar100_members(), train_images=2, seed=0)
    command = [
        sys.executable,
        "scripts/fetch_dataset.py",
        "--settings",
        entry.model_dump_json(),
        str(tmp_path / "images.h5"),
    ]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    assert store.lengths(tmp_path / "images.h5") == {
        "train_images": 2,
        "train_labels": 2,
        "test_images": 1,
        "test_labels": 1,
    }
    assert len(store.read_attributes(tmp_path / "images.h5")["classes"]) == 100
    archive_digest = sha256_bytes((tmp_path / "cifar-100-binary.tar.gz").read_bytes())
    assert f"archive sha256 {archive_digest} (verified, not kept)" in "\n".join(
        tree(trace([tmp_path / "images.h5"], Digests()))
    )
    record = store.read_provenance(tmp_path / "images.h5") | {
        "download": {"archives": {"train_x": "12", "test_x": "34"}, "verified": True}
    }
    store.write(tmp_path / "several.h5", {"labels": np.zeros(1)}, record)
    lines = "\n".join(tree(trace([tmp_path / "several.h5"], Digests())))
    assert "archive train_x sha256 12 (verified, not kept)" in lines
    assert "archive test_x sha256 34 (verified, not kept)" in lines


def embedded() -> Dataset:
    values = yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())
    return Dataset.model_validate(values["datasets"]["cifar10-5k"])


def test_embedded_subset_is_balanced():
    images, digests = load(embedded(), Path("unused"))
    assert digests["verified"]
    assert np.bincount(images.train_labels).tolist() == [500] * 10
    assert np.bincount(images.test_labels).tolist() == [200] * 10


@pytest.mark.slow
def test_embedded_subset_repeats_from_the_official_archive():
    name = Path(os.environ.get(MIRROR_VARIABLE, "")) / "cifar-10-binary.tar.xz"
    if MIRROR_VARIABLE not in os.environ or not name.is_file():
        pytest.skip(f"{MIRROR_VARIABLE} names no folder with CIFAR-10")
    official = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())["datasets"]["cifar10"]
    whole, _ = load(Dataset.model_validate_json(json.dumps(official)), Path("unused"))
    small, _ = load(embedded(), Path("unused"))
    for part, count in (("train", 500), ("test", 200)):
        arrays = whole.arrays()
        rows = balanced_subset(arrays[f"{part}_labels"], count, 0)
        np.testing.assert_array_equal(arrays[f"{part}_images"][rows], small.arrays()[f"{part}_images"])
