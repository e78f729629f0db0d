"""Liu, Jia and Gong, "PoisonedEncoder: Poisoning the Unlabeled Pre-training Data in Contrastive Learning",
USENIX Security 2022 (arXiv 2205.06401): what a published review of it states, and what cannot be repeated.

Numbers of the publication are not known here. The first seven statements are the review's account of its
results, and the last two are what the review asks or suspects.
"""

from collections.abc import Sequence
from typing import NamedTuple

from featpoison.results.target_cells import TargetRow
from featpoison.results.target_claims import Comparison, Statement, SuccessGap, UtilityKept

ATTACK = "PoisonedEncoder"
KEPT_WITHIN = 2.0
"""Points of accuracy up to which utility counts as kept; the review says "small"."""
USUAL_LOSS = "NT-Xent"
SETUP = ("task", "rate", "references", "epochs", "smallest_crop")
"""What two rows have in common that differ by a fine-tuning alone."""


class NotDefined(NamedTuple):
    """An attack that the publication compares with and that has no definition here."""

    title: str
    reason: str


NOT_DEFINED = (
    NotDefined("ICP", "nothing that is known here says what it does"),
    NotDefined(
        "Witches' Brew",
        "it poisons labelled images by the gradients of a classifier (arXiv 2009.02276), and nothing that is "
        "known here says what replaced the labels and the classifier",
    ),
)


def _undefended(rows: Sequence[TargetRow]) -> list[TargetRow]:
    return [row for row in rows if row.attack == ATTACK and not row.defence]


def _tuned(rows: Sequence[TargetRow]) -> list[TargetRow]:
    """Those that differ from an undefended row by a fine-tuning alone, by its number of images."""
    found = [row for row in rows if row.attack == ATTACK and row.plain and row.tuning_images]
    return sorted(found, key=lambda row: row.tuning_images)


def _against(
    rows: Sequence[TargetRow], others: Sequence[TargetRow], *, alike: Sequence[str] = SETUP
) -> list[Comparison]:
    """Each of `rows` against each of `others` that is like it in these columns."""
    return [
        SuccessGap(one, other)
        for one in rows
        for other in others
        if all(getattr(one, name) == getattr(other, name) for name in alike)
    ]


def attack_works(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 1."""
    return [SuccessGap(row, None) for row in _undefended(rows)]


def utility_is_kept(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 4."""
    return [UtilityKept(row, KEPT_WITHIN) for row in _undefended(rows)]


def tuning_helps(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 5."""
    return _against(_undefended(rows), _tuned(rows))


def tuning_keeps_utility(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 6."""
    return [UtilityKept(row, KEPT_WITHIN) for row in _tuned(rows)]


def tuning_needs_many_images(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 7: fewer images against the next larger number, for as many epochs."""
    found = []
    for fewer in _tuned(rows):
        more = [one for one in _tuned(rows) if one.tuning_images > fewer.tuning_images]
        found += _against([fewer], more, alike=(*SETUP, "tuning_epochs"))[:1]  # they ascend
    return found


def crops_carry_it(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 8: the crops of an undefended row against none, or larger ones."""

    def smallest(row: TargetRow) -> float:
        return 1.0 if row.smallest_crop is None else row.smallest_crop

    plain = [row for row in rows if row.attack == ATTACK and row.plain and not row.tuning_images]
    return [
        gap
        for row in _undefended(rows)
        for gap in _against([row], [one for one in plain if smallest(one) > smallest(row)], alike=SETUP[:-1])
    ]


def other_losses(rows: Sequence[TargetRow]) -> list[Comparison]:
    """Statement 9."""
    return [SuccessGap(row, None) for row in rows if row.attack == ATTACK and row.loss != USUAL_LOSS]


STATEMENTS = (
    Statement(
        1,
        "The attack works: targets are given the wanted class more often than on the clean encoder",
        attack_works,
    ),
    Statement(
        2,
        "Its success is at least 0.2 above that of ICP",
        None,
        f"ICP is not defined here: {NOT_DEFINED[0].reason}.",
    ),
    Statement(
        3,
        "Witches' Brew is ineffective",
        None,
        f"Witches' Brew is not defined here: {NOT_DEFINED[1].reason}.",
    ),
    Statement(
        4,
        "Utility is kept: accuracies of the clean and the poisoned encoder differ little",
        utility_is_kept,
        f"Kept: the interval of the drop ends at {KEPT_WITHIN:g} points or below. The review gives no "
        "number.",
    ),
    Statement(
        5,
        "Fine-tuning on clean images reduces success",
        tuning_helps,
    ),
    Statement(
        6,
        "Fine-tuning on clean images keeps utility",
        tuning_keeps_utility,
        f"Kept: the interval of the drop ends at {KEPT_WITHIN:g} points or below.",
    ),
    Statement(
        7,
        "Fine-tuning needs a large set of clean images",
        tuning_needs_many_images,
        "Judged by whether the next larger number of images reduces success further.",
    ),
    Statement(
        8,
        "The attack depends on random crops: without them, or with larger ones, it succeeds less often",
        crops_carry_it,
        "The review's suspicion, not a result of the publication.",
    ),
    Statement(
        9,
        "The attack works with another contrastive loss than SimCLR's",
        other_losses,
        "The review's open question.",
    ),
)
