"""Figure 2: its note and its rows, from the library and from the command line."""

import numpy as np
from featpoison import store
from featpoison.render import input_poisons
from helpers import RECORD, ROOT, ran
from oracles.pictures import OF_ONE_ATTACK, of_picture, poisons
from oracles.worlds import VICTIM_SEEDS, World, victims


def test_note_says_how_far_the_pixels_go():
    images = np.zeros((3, 3, 2, 2), np.float32)
    images[0, 0, 0, 0], images[1, 0, 0, 0], images[2, 0, 0, 0] = 4, -10, 0.5
    note = input_poisons.note_of(images, 0.5, OF_ONE_ATTACK)
    assert "8 times" in note
    assert "at most 20" in note
    assert f"{100 * 2 / 36:.0f} % of the pixels" in note
    assert "sgd100 3.00 [1.00, 5.00]" in note


def test_stretch_uses_each_images_own_range():
    images = np.stack([np.full((3, 2, 2), 4.0), np.arange(12.0).reshape(3, 2, 2) - 6])
    found = input_poisons.stretch(images)
    assert not found[0].any()
    assert (found[1].min(), found[1].max()) == (0, 1)


def test_the_program_of_figure_2_reads_poisons_of_an_input_space_attack(tmp_path):
    """These have no beta."""
    base, images = poisons(np.random.default_rng(0), scale=5)
    files = {name: tmp_path / f"{name}.h5" for name in ("features", "clean")}
    World(tmp_path).add_shared_files(files)
    facts = {"residual": np.full(2, 0.5), "feature_magnitude_ratio": np.full(2, 9.0)}
    poisoned = victims(np.full((2, VICTIM_SEEDS), 0.5))
    store.write(tmp_path / "images.h5", {"train_images": (255 * base).astype(np.uint8)}, RECORD)
    store.write(tmp_path / "poisons.h5", {"images": images, "base": np.arange(12)}, RECORD, eps_d=0.2)
    store.write(tmp_path / "victims.h5", poisoned | facts, RECORD, tau=1.0)
    command = [str(ROOT / "scripts/plot_input_poisons.py")]
    for name in ("images", "poisons", "features", "clean", "victims"):
        command += [f"--{name}", str(tmp_path / f"{name}.h5")]
    command += [str(tmp_path / "figure2.pdf")]
    command.append(str(tmp_path / "figure2.png"))
    done = ran(*command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure2.pdf").stat().st_size > 3000
    assert of_picture(tmp_path / "figure2.png") > 0.05
