"""A new attack or defence is one file, one line in the list of names and one row of a table.

All else follows: the rule, the program's arguments, the table with its title, the audit, the plan of costs
and the schema; and nothing that is made already is made anew.
"""

import json

import pytest
from featpoison.results.cells import from_csv
from toy import Toy

ATTACK = '''"""Toy push: clean features pushed along one random direction."""

from typing import Any

import torch
from pydantic import PositiveFloat

from featpoison.attacks.attack import Attack, Made, Run
from featpoison.attacks.base_rows import choose_initial, poison_count
from featpoison.attacks.operations import Sizes, Work
from featpoison.common.seeds import stream
from featpoison.common.settings import Settings
from featpoison.downstream.task import read_task


class ToyPush(Settings):
    """Settings of the push."""

    length: PositiveFloat = 2.0
    """How far, in units of the largest clean norm."""


def run(given: Run) -> Made:
    """Feature cache -> poisoned features."""
    task = read_task(given.files["features"])
    base = choose_initial(task.train_labels, poison_count(given.budget, len(task.train)), given.seed)
    direction = torch.randn(task.train.shape[1], generator=stream(0, device=torch.device("cpu")))
    step = given.settings.length * task.train.norm(dim=1).max() * direction / direction.norm()
    features, labels = task.train[base] + step, task.train_labels[base]
    return Made({"features": features.numpy(), "labels": labels.numpy(), "base": base.numpy()})


def work(sizes: Sizes, settings: Any, n: float) -> Work:
    """One addition a number."""
    return Work(n * sizes.features, bytes=n * sizes.feature_bytes)


def memory(sizes: Sizes, settings: Any, n: float) -> float:
    """The features, and the poisoned ones."""
    return sizes.held(n, features=1, poisoned=2)


ATTACK = Attack(
    name="toy-push",
    title="Toy push",
    makes="features",
    settings=ToyPush,
    needs=("features",),
    run=run,
    work=work,
    memory=memory,
    sets=("free",),
)
'''
DEFENCE = '''"""Toy norm: drop poisons whose features are longer than clean ones."""

import torch
from pydantic import PositiveFloat

from featpoison.common.settings import Settings
from featpoison.defences.defence import Defence, Defended, Defending


class ToyNorm(Settings):
    """Settings of the defence."""

    slack: PositiveFloat = 1.5
    """The longest feature that passes, in units of the largest clean norm."""


def run(given: Defending) -> Defended:
    """The poisons that are short enough, and always the first."""
    clean = given.task.train
    kept = given.features.norm(dim=1) <= given.settings.slack * clean.norm(dim=1).max()
    kept[: len(clean) + 1] = True
    return Defended(rows=torch.nonzero(kept).squeeze(1))


DEFENCE = Defence(name="toy-norm", title="toy norm", settings=ToyNorm, run=run, poisons_alone=True)
'''
TABLES = {"table1.csv", "table1.tex", "table1.pdf", "table1.png", "claims.md"}
ROOM = "data/{stage}/toy/tiny/{attack}"
PUSHED, CANCELED = "toy-push_free", "gc-feature_free_gradpc-feature"


def extend(toy: Toy, room: str, file: str, content: str, *, after: str, row: dict) -> None:
    """One new file, one line in the list of names after another, one row."""
    folder = toy.folder / f"scripts/featpoison/{room}"
    (folder / file).write_text(content)
    names = folder / "names.py"
    name = file.removesuffix(".py").replace("_", "-")
    text = names.read_text()
    assert text.count(f'"{after}",') == 1
    names.write_text(text.replace(f'"{after}",', f'"{after}", "{name}",'))
    tables = toy.config["tables"]
    tables["table1"]["rows"].append(row)
    toy.configure(tables=tables)


def with_attack(toy: Toy) -> Toy:
    extend(toy, "attacks", "toy_push.py", ATTACK, after="gc-feature", row={"method": "toy-push"})
    return toy


def with_defence(toy: Toy) -> Toy:
    row = {"method": "gc-feature", "defence": "toy-norm"}
    extend(toy, "defences", "toy_norm.py", DEFENCE, after="magnitude-filter", row=row)
    return toy


@pytest.mark.slow
def test_a_new_attack_makes_its_own_products_and_the_tables_and_no_other(copy):
    folder = f"toy/tiny/{PUSHED}"
    made = {f"data/poisoned_features/{folder}/eps0.2-seed{seed}.h5" for seed in (0, 1)}
    made |= {f"data/victims/{folder}/none/eps0.2.h5"}
    assert with_attack(copy).remade() == made | {f"figures/toy/{name}" for name in TABLES}


@pytest.mark.slow
def test_a_new_defence_makes_its_own_products_and_the_tables_and_no_other(copy):
    folder = f"toy/tiny/{CANCELED}/toy-norm"
    made = {f"data/defended/{folder}/eps0.2-seed{seed}.h5" for seed in (0, 1)}
    made |= {f"data/victims/{folder}/eps0.2.h5"}
    assert with_defence(copy).remade() == made | {f"figures/toy/{name}" for name in TABLES}


@pytest.mark.slow
def test_schema_and_plan_know_what_is_new(copy):
    toy = with_defence(with_attack(copy))
    assert toy.python("scripts/write_schema.py", "schema.json").returncode == 0
    parts = json.loads((toy.folder / "schema.json").read_text())["$defs"]
    assert parts["Attacks"]["properties"]["toy_push"]["$ref"] == "#/$defs/ToyPush"
    assert parts["ToyPush"]["properties"]["length"]["description"].startswith("How far")
    assert parts["Defences"]["properties"]["toy_norm"]["$ref"] == "#/$defs/ToyNorm"
    assert "toy-push" in parts["TableRow"]["properties"]["method"]["enum"]
    assert "toy-norm" in parts["TableRow"]["properties"]["defence"]["enum"]
    plan = toy.python("scripts/plan_cost.py", "--configfile", "toy.yaml", "--remaining", "--steps")
    assert plan.returncode == 0, plan.stderr
    lines = [line.split() for line in plan.stdout.splitlines()]
    counts = {tuple(line[:-5]): int(line[-5]) for line in lines if len(line) > 5 and line[-5].isdigit()}
    assert counts["poison_features", "toy-push"] == 2
    assert counts["defend_poisons",] == 2
    assert counts["evaluate_attack",] == 2


@pytest.mark.slow
def test_a_new_attack_goes_through_table_audit_and_recomputation(copy):
    toy = with_attack(copy)
    toy.run("figures/toy/table1.csv", "figures/toy/table1.tex")
    cells = [cell for cell in cells_of(toy) if cell.method == "toy-push"]
    assert [(cell.title, cell.victim, cell.poisons) for cell in cells] == [
        ("Toy push", "sgd100", 12),
        ("Toy push", "converged", 12),
    ]
    assert all(cell.published_drop is None and cell.magnitude_ratio > 1 for cell in cells)
    assert "Toy push &" in (toy.folder / "figures/toy/table1.tex").read_text()
    audited = toy.audit("figures/toy/table1.csv", "--configfile", "toy.yaml")
    assert audited.returncode == 0, audited.stderr
    assert "code has changed since" not in audited.stdout  # of no product, the old ones included
    again = toy.audit("figures/toy/table1.csv", "--cell", "toy-push,0.2")
    assert again.returncode == 0, again.stderr
    assert "toy-push,0.2,free,fine-tuning,converged" in again.stdout
    toy.configure(attacks=toy.config["attacks"] | {"toy_push": {"length": 3.0}})
    changed = toy.audit("figures/toy/table1.csv", "--configfile", "toy.yaml")
    assert changed.returncode == 1
    poisons = f"{ROOM}/eps0.2-seed0.h5".format(stage="poisoned_features", attack=PUSHED)
    difference = "attacks.toy_push.length is 3.0 in the configuration, 2.0 in the record"
    assert f"AUDIT FAILED: {poisons}: {difference}" in changed.stderr.splitlines()
    assert toy.audit("figures/toy/table1.csv").returncode == 0


@pytest.mark.slow
def test_a_new_defence_goes_through_table_audit_and_recomputation(copy):
    toy = with_defence(copy)
    toy.run("figures/toy/table1.csv", "figures/toy/table1.tex")
    cells = [cell for cell in cells_of(toy) if cell.defence == "toy-norm"]
    assert [(cell.title, cell.victim) for cell in cells] == [
        ("GC-feature (toy norm)", "sgd100"),
        ("GC-feature (toy norm)", "converged"),
    ]
    assert all(cell.removed > 0 and cell.poisons + cell.removed == 12 for cell in cells)
    assert "GC-feature (toy norm) &" in (toy.folder / "figures/toy/table1.tex").read_text()
    audited = toy.audit("figures/toy/table1.csv", "--configfile", "toy.yaml")
    assert audited.returncode == 0, audited.stderr
    again = toy.audit("figures/toy/table1.csv", "--cell", "gc-feature,0.2,toy-norm")
    assert again.returncode == 0, again.stderr
    toy.configure(defences={"toy_norm": {"slack": 3.0}})
    changed = toy.audit("figures/toy/table1.csv", "--configfile", "toy.yaml")
    assert changed.returncode == 1
    assert "defences.toy_norm.slack is 3.0 in the configuration, 1.5 in the record" in changed.stderr


def cells_of(toy: Toy) -> list:
    return from_csv((toy.folder / "figures/toy/table1.csv").read_text())
