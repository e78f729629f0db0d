"""Rows of the table of attacks on pre-training, and their cells."""

from dataclasses import replace

from featpoison.results.target_cells import TargetCell, TargetRow


def target_row(**changes) -> TargetRow:
    """An undefended row, or one that differs from it."""
    usual = {
        "attack": "PoisonedEncoder",
        "defence": "",
        "task": "letters",
        "rate": 0.01,
        "references": 5,
        "epochs": 8,
        "smallest_crop": 0.2,
        "tuning_images": 0,
        "tuning_epochs": 0,
        "loss": "NT-Xent",
        "plain": True,
        "clean_encoder": "clean",
        "vote": False,
        "measures": ("a.h5",),
        "clean": ("b.h5",),
    }
    return TargetRow(**(usual | changes))


CELL = TargetCell(
    attack="PoisonedEncoder",
    defence="",
    task="letters",
    victim="sgd100",
    encoders=2,
    targets=10,
    rate=0.01,
    references=50,
    epochs=800,
    smallest_crop=0.08,
    tuning_images=0,
    tuning_epochs=0,
    loss="NT-Xent",
    plain=True,
    clean_encoder="twin",
    vote=False,
    cross_pairs=412.3,
    success=40.0,
    success_low=12.2,
    success_high=73.8,
    clean_success=10.0,
    clean_success_low=0.3,
    clean_success_high=44.5,
    accuracy=61.23,
    accuracy_low=59.1,
    accuracy_high=63.3,
    clean_accuracy=62.03,
    clean_accuracy_low=60.0,
    clean_accuracy_high=64.0,
    drop=0.8,
    drop_low=-0.2,
    drop_high=1.8,
    probability=0.37,
    clean_probability=0.09,
    rank=2.04,
    clean_rank=5.1,
    cosine=0.71,
    clean_cosine=0.42,
    source="a.h5 b.h5",
)


def row(**changes) -> list[TargetCell]:
    """The two cells of a row."""
    first = replace(CELL, **changes)
    return [first, replace(first, victim="converged", success=30.0, success_low=6.7, success_high=65.2)]
