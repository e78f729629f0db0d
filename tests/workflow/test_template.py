"""The template of a configuration, used as a stranger would: copy it, edit two lines, run."""

import re

import numpy as np
import pytest
import timm
import torch
import yaml
from featpoison import store
from helpers import SNAKEMAKE
from PIL import Image
from toy import PROFILE, Toy, make_toy

EDITED = {"my/images": "their/pictures", "my/encoder.pth": "their/weights.pth"}
FEATURES = "data/features/my-images/my-encoder.h5"


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    """A repository with pictures of two classes, weights and an edited copy of the template."""
    toy = make_toy(tmp_path_factory.mktemp("template"))
    generator = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 10)):
        for label, name in enumerate(("cats", "dogs")):
            folder = toy.folder / "their/pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 156, (40, 48, 3)) + 100 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), toy.folder / "their/weights.pth")
    text = (toy.folder / "workflow/config/my.yaml").read_text()
    for old, new in EDITED.items():
        assert len(re.findall(rf"{old}}} # EDIT", text)) == 1
        text = text.replace(old, new)
    (toy.folder / "workflow/config/theirs.yaml").write_text(text)
    return toy


def theirs(toy: Toy, *arguments: str) -> str:
    command = (SNAKEMAKE, "--configfile", "workflow/config/theirs.yaml", *PROFILE, "--cores", "2")
    done = toy.python(*command, *arguments)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done.stdout + done.stderr


@pytest.mark.slow
def test_one_target_is_made(toy):
    theirs(toy, "--", FEATURES)
    features = store.read(toy.folder / FEATURES)
    assert features["train"].shape == (40, 512)
    assert sorted(np.unique(features["train_labels"])) == [0, 1]


def test_without_a_target_just_what_is_asked_for_is_planned(toy):
    text = theirs(toy, "--dry-run")
    made = {
        path for line in re.findall(r"^    output: (.*)$", text, re.MULTILINE) for path in line.split(", ")
    }
    shown = {path for path in made if path.startswith("figures/")}
    tables = {f"figures/my/table1.{form}" for form in ("csv", "tex", "pdf", "png")}
    assert shown == tables  # and no page of claims: nothing stands beside a paper's
    declared = yaml.safe_load((toy.folder / "workflow/config/theirs.yaml").read_text())
    rows = declared["tables"]["table1"]["rows"]
    victims = {path.split("/")[4].split("_")[0] for path in made if path.startswith("data/victims/")}
    assert victims == {row["method"] for row in rows}


@pytest.mark.slow
def test_a_figure_that_is_not_asked_for_is_an_error_that_says_so(toy):
    command = (SNAKEMAKE, "--configfile", "workflow/config/theirs.yaml", "--dry-run")
    done = toy.python(*command, "--", "figures/my/figure5.png")
    assert done.returncode
    assert "'figures' is null, expected what figures show" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_whole_table_is_made(toy):
    theirs(toy)
    lines = (toy.folder / "figures/my/table1.csv").read_text().splitlines()
    assert len(lines) > 4
    assert "Nothing to be done" in theirs(toy)
