"""Attacks on pre-training through the real graph, on the toy copy: poisons, encoders, defences, table."""

import copy as copying
import json
import shutil

import numpy as np
import pytest
import torch
from featpoison import store
from featpoison.records.seal import read_metadata
from featpoison.results.target_cells import from_csv
from helpers import ran
from safetensors.torch import load_file
from tamper import sealed_anew
from toy import Toy, make_toy, pinned

SIMCLR = {
    "architecture": {"width": 8, "stem_stride": 2},
    "epochs": 2,
    "batch_size": 16,
    "warmup_epochs": 0,
    "precision": "float32",
}
ATTACK = {
    "attack": "poisoned-encoder",
    "rate": 0.5,
    "seed": 0,
    "settings": {"targets": {"toy": 4}, "references": 3},
}
CLEAN = {"dataset": "toy", "simclr": SIMCLR}
POISONED = CLEAN | {"poisoning": ATTACK}


def entries() -> dict:
    """A clean encoder, poisoned ones of two seeds, and one for each defence and baseline."""
    whole = copying.deepcopy(POISONED)
    whole["simclr"]["augmentation"] = {"crop_scale": None}
    made = {"clean": CLEAN, "poisoned-0": POISONED, "whole": whole}
    made["poisoned-1"] = POISONED | {"poisoning": ATTACK | {"seed": 1}}
    for number in range(3):
        made[f"bag-{number}"] = POISONED | {"subset": {"images": 60, "seed": number}}
    made["tuned"] = CLEAN | {"start": "poisoned-0", "subset": {"images": 32}}
    made["screened"] = POISONED | {"screening": {"encoder": "clean", "neighbours": 3, "share": 0.3}}
    made["references"] = CLEAN | {"poisoning": ATTACK | {"attack": "reference-images"}}
    stopped = {"stopped": {"snapshot": {"encoder": "poisoned-0", "epoch": 1}}}
    return {name: {"pretraining": entry} for name, entry in made.items()} | stopped


ROWS = [
    {"encoders": ["poisoned-0", "poisoned-1"]},
    {"encoders": ["references"]},
    {"encoders": ["screened"]},
    {"encoders": ["stopped"]},
    {"encoders": ["whole"]},
    {"encoders": ["tuned"]},
    {"encoders": ["bag-0", "bag-1", "bag-2"], "vote": True},
]
OUTPUT = "figures/toy/pretraining"


def make(folder) -> Toy:
    """The toy with encoders that are poisoned, and their table alone."""
    toy = make_toy(folder)
    values = toy.config
    values["encoders"] |= entries()
    values["tables"] = {}
    values["pretraining_table"] = {"tasks": ["toy"], "clean": "clean", "rows": ROWS, "pictures": 3}
    toy.configure(**values)
    return toy


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Toy:
    toy = make(tmp_path_factory.mktemp("pretraining") / "toy")
    toy.run()
    return toy


def test_the_plan_has_every_step_once(tmp_path):
    planned = make(tmp_path).planned()
    assert planned == {
        "fetch_dataset": 1,
        "poison_pretraining": 8,
        "screen_pretraining": 1,
        "pretrain_encoder": 9,
        "pretrain_in_stages": 1,
        "take_snapshot": 1,
        "extract_features": 11,
        "train_heads": 11,
        # Ten poisoned encoders, and the clean one with the targets of each of the five poisonings in rows
        # that do not vote, and of the first member of those that do.
        "measure_targets": 10 + 6,
        "collect_pretraining": 1,
        "render_pretraining": 1,
        "plot_success": 1,
        "plot_combinations": 1,
        "plot_neighbours": 1,
        "judge_statements": 1,
    }


@pytest.mark.slow
def test_one_encoder_runs_only_its_ancestors(tmp_path):
    toy = make(tmp_path)
    assert toy.planned("data/encoders/poisoned-1.safetensors") == {
        "fetch_dataset": 1,
        "poison_pretraining": 1,
        "pretrain_encoder": 1,
    }
    assert toy.planned("data/encoders/tuned.safetensors") == {
        "fetch_dataset": 1,
        "poison_pretraining": 1,
        "pretrain_encoder": 1,
        "pretrain_in_stages": 1,
    }


@pytest.mark.slow
def test_a_path_of_another_poisoning_is_no_target(tmp_path):
    done = make(tmp_path).snakemake(
        "-n", "data/pretraining_poisons/poisoned-0/poisoned-encoder_rate0.1-seed0.h5"
    )
    assert done.returncode != 0
    assert "expected poisoned-encoder_rate0.5-seed0" in done.stdout + done.stderr


def test_a_wrong_poisoning_stops_before_any_job(tmp_path):
    toy = make(tmp_path)
    values = toy.config
    values["encoders"]["poisoned-0"]["pretraining"]["poisoning"]["rate"] = 1.5
    toy.configure(**values)
    done = toy.snakemake("-n")
    assert done.returncode != 0
    assert "poisoning.rate" in done.stdout + done.stderr
    assert "found 1.5" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_table_has_a_row_for_each_task_and_victim(made):
    cells = from_csv((made.folder / f"{OUTPUT}.csv").read_text())
    assert [(cell.defence, cell.victim) for cell in cells] == [
        (defence, victim)
        for defence in (
            "",
            "",
            "the densest 30 % left out",
            "stopped after 1 of 2 epochs",
            "no crops",
            "fine-tuned on 32 images of toy, 2 epochs",
            "bagging, 3 encoders on 60 images each",
        )
        for victim in ("sgd100", "converged")
    ]
    by_defence = {cell.defence: cell for cell in cells if cell.attack == "PoisonedEncoder"}
    assert [cell.targets for cell in by_defence.values()] == [8, 4, 4, 4, 4, 4]
    assert {cell.attack for cell in cells} == {"PoisonedEncoder", "Reference images alone"}
    whole, plain = by_defence["no crops"], by_defence[""]
    assert whole.cross_pairs == 0 < by_defence["stopped after 1 of 2 epochs"].cross_pairs < plain.cross_pairs
    assert by_defence["stopped after 1 of 2 epochs"].cross_pairs == pytest.approx(
        plain.cross_pairs / 2, rel=0.3
    )
    screened = by_defence["the densest 30 % left out"]
    left = store.read_attributes(made.folder / "data/screened/screened/poisons.h5")
    assert (left["clean"], left["poisons"], left["clean_kept"] + left["poisons_kept"]) == (60, 30, 63)
    assert screened.cross_pairs < plain.cross_pairs
    for cell in cells:
        assert 0 <= cell.success_low <= cell.success <= cell.success_high <= 100
        assert cell.accuracy_low <= cell.accuracy <= cell.accuracy_high
        assert cell.drop == pytest.approx(cell.clean_accuracy - cell.accuracy, abs=1e-3)


@pytest.mark.slow
def test_numbers_of_the_table_are_those_of_the_heads(made):
    """Counted anew from features, heads and poisons."""
    cell = from_csv((made.folder / f"{OUTPUT}.csv").read_text())[0]
    data, hits, rights = made.folder / "data", [], []
    targets = {}
    for seed in (0, 1):
        name = f"poisoned-{seed}"
        found = store.read(data / f"pretraining_poisons/{name}/poisoned-encoder_rate0.5-seed{seed}.h5")
        targets[name] = set(zip(found["target"].tolist(), found["label"].tolist(), strict=True))
    every = {row for one in targets.values() for row, _ in one}
    for name, own in targets.items():
        features = store.read(data / f"features/toy/{name}.h5")
        omega = store.read(data / f"heads/toy/{name}/clean.h5")["sgd100_omega"][0].astype(float)
        given = (features["test"] @ omega[:, :, :-1].transpose(0, 2, 1) + omega[:, None, :, -1]).argmax(-1)
        hits += [(given[:, row] == label).mean() for row, label in own]
        others = [row for row in range(30) if row not in every]
        rights.append((given[:, others] == features["test_labels"][others]).mean())
    assert cell.success == pytest.approx(100 * np.mean(hits))
    assert cell.accuracy == pytest.approx(100 * np.mean(rights))


@pytest.mark.slow
def test_a_snapshot_is_the_encoder_of_a_shorter_training(made):
    """One that goes on afterwards: the first epoch of two, not a training of one epoch, whose steps
    shrink."""
    folder = made.folder / "data/encoders"
    stopped, whole = (load_file(folder / f"{name}.safetensors") for name in ("stopped", "poisoned-0"))
    assert stopped.keys() == whole.keys()
    assert any(not torch.equal(stopped[name], whole[name]) for name in whole)
    losses = read_metadata(folder / "poisoned-0.safetensors")["losses"]
    assert read_metadata(folder / "stopped.safetensors")["losses"] == losses[:1]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_everything_is_there_and_in_place(made):
    names = {path.name for path in (made.folder / "figures/toy").iterdir()}
    for stem, forms in (("pretraining", ("csv", "tex", "pdf", "png")), ("success", ("pdf", "png"))):
        assert {f"{stem}.{form}" for form in forms} <= names
    assert {"combinations.pdf", "combinations.png", "neighbours.pdf", "neighbours.png"} <= names
    page = (made.folder / "figures/toy/statements.md").read_text()
    assert "| PoisonedEncoder, 50 % > `clean` | toy | 8 |" in page
    assert "| PoisonedEncoder, 50 % > PoisonedEncoder, 50 %, no crops | toy | 4 |" in page
    assert made.planned() == {}


@pytest.mark.slow
def test_the_audit_follows_a_number_to_the_archive_and_compares_settings(made):
    done = made.audit(f"{OUTPUT}.csv", "--configfile", "toy.yaml")
    assert done.returncode == 0, done.stderr
    for name in (
        "data/pretraining_poisons/bag-2/",
        "data/snapshots/poisoned-0.safetensors",
        "data/embedded/toy.tar",
    ):
        assert name in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("poisoned-1", 2), ("screened,converged", 1), ("bag-2,toy,sgd100", 1), ("tuned", 2), ("whole", 2)],
)
def test_a_cell_is_computed_again_from_what_is_stored(made, name, count):
    done = made.audit(f"{OUTPUT}.csv", "--json", "--cell", name)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == count
    for cell in cells:
        columns = cell["columns"]
        assert {"success", "drop_high", "cosine", "rank", "cross_pairs", "clean_success"} <= columns.keys()
        assert all(column["printed"] == column["again"] for column in columns.values())


@pytest.mark.slow
def test_a_forged_cell_is_found_and_an_unknown_one_is_wrong_usage(made, tmp_path):
    assert "expected ENCODER[,TASK][,VICTIM]" in made.audit(f"{OUTPUT}.csv", "--cell", "nobody").stderr
    forged = made.copied(tmp_path / "forged")
    table = forged.folder / f"{OUTPUT}.csv"
    lines = table.read_text().splitlines(keepends=True)
    columns = lines[0].split(",")
    values = lines[1].split(",")
    values[columns.index("cosine")] = "0.123456"
    table.write_text("".join([lines[0], ",".join(values), *lines[2:]]))
    sealed_anew(forged.folder, f"{OUTPUT}.csv")
    done = forged.audit(f"{OUTPUT}.csv", "--cell", "poisoned-0,sgd100")
    assert done.returncode == 1
    assert "cosine is printed as 0.123456, computed again it is" in done.stderr


@pytest.mark.slow
def test_the_audit_names_a_setting_that_was_changed(made, tmp_path):
    changed = made.copied(tmp_path / "changed")
    values = changed.config
    values["encoders"]["whole"]["pretraining"]["poisoning"]["settings"]["references"] = 2
    values["encoders"]["bag-1"]["pretraining"]["subset"]["images"] = 59
    values["encoders"]["stopped"]["snapshot"]["epoch"] = 2
    changed.configure(**values)
    done = changed.audit(f"{OUTPUT}.csv", "--configfile", "toy.yaml")
    assert done.returncode == 1
    for text in (
        "encoders.whole.pretraining.poisoning.settings.references is 2 in the configuration, 3 in the record",
        "encoders.bag-1.pretraining.simclr.subset.images is 59 in the configuration, 60 in the record",
        "encoders.stopped.snapshot.epoch is 2 in the configuration, 1 in the record",
    ):
        assert text in done.stderr


@pytest.mark.slow
def test_an_edit_of_the_attack_reruns_what_it_poisons(made, tmp_path):
    changed = made.copied(tmp_path / "changed")
    changed.append("scripts/featpoison/attacks/reference_images.py")
    remade = {path for path in changed.remade() if path.startswith("data/")}
    assert {path for path in remade if "poisons" in path} == {
        "data/pretraining_poisons/references/reference-images_rate0.5-seed0.h5"
    }
    assert {path for path in remade if "encoders" in path} == {"data/encoders/references.safetensors"}


@pytest.mark.slow
def test_poisons_are_exported(made, tmp_path):
    poisons = "data/pretraining_poisons/poisoned-0/poisoned-encoder_rate0.5-seed0.h5"
    arguments = ("--poisons", poisons, "--downstream", "toy=data/images/toy.h5")
    done = made.python("scripts/export_pretraining_poisons.py", *arguments, "--", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out/images").glob("*.png"))) == 30
    assert len((tmp_path / "out/poisons.csv").read_text().splitlines()) == 31


@pytest.mark.slow
def test_a_twin_with_its_targets_is_measured_without_its_images(made, tmp_path):
    """The poisoned encoder's weights and targets beside the pre-training that made them: the same numbers,
    and nothing is poisoned or trained."""
    twins = make(tmp_path / "twins")
    encoder, targets = "data/embedded/twin.safetensors", "data/embedded/twin.targets.h5"
    shutil.copy(made.folder / "data/encoders/poisoned-0.safetensors", twins.folder / encoder)
    given = ("--images", "data/images/toy.h5", "--pretraining-images", "data/images/toy.h5", "--task", "toy")
    poisons = "data/pretraining_poisons/poisoned-0/poisoned-encoder_rate0.5-seed0.h5"
    program = ("scripts/embed_targets.py", "--poisons", poisons, *given, str(twins.folder / targets))
    assert made.python(*program).returncode == 0
    values = twins.config
    twin = {"weights": pinned(twins.folder, "twin.safetensors"), "targets": targets, "pretraining": POISONED}
    values["encoders"] = {"tiny": values["encoders"]["tiny"], "clean": {"pretraining": CLEAN}, "twin": twin}
    values["pretraining_table"] |= {"rows": [{"encoders": ["twin"]}], "clean": "tiny"}
    twins.configure(**values)
    assert not {"poison_pretraining", "pretrain_encoder", "plot_combinations"} & twins.planned().keys()
    twins.run()
    found = from_csv((twins.folder / f"{OUTPUT}.csv").read_text())
    with_poisons = store.read(made.folder / "data/target_measures/toy/poisoned-0/poisoned-0.h5")
    cosine = pytest.approx(with_poisons["cosine"].mean(), rel=1e-4)
    for cell in found:
        hits = with_poisons[f"{cell.victim}_predictions"][:, with_poisons["target"]] == with_poisons["label"]
        assert cell.success == pytest.approx(100 * hits.mean())
        assert (cell.targets, cell.cosine) == (4, cosine)
        assert cell.cross_pairs == pytest.approx(with_poisons["cross_pairs"].mean(), rel=1e-5)
    done = twins.audit(f"{OUTPUT}.csv", "--cell", "twin", "--configfile", "toy.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"poisoned-encoder{name}" for name in ("", "-cifar10", "-paper", "-twins")])
def test_the_configurations_plan(name):
    done = ran("scripts/plan_cost.py", "--configfile", f"workflow/config/{name}.yaml", "--steps")
    assert done.returncode == 0, done.stderr
    lines = {line[:40].strip(): line[40:].split() for line in done.stdout.splitlines()}
    assert float(lines["pretrain_encoder"][1]) > 0
    assert float(lines["extract_features"][1]) > 0
    assert int(lines["measure_targets"][0]) >= 2
