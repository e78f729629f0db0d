"""Baseline of attacks on pre-training: the references that PoisonedEncoder would combine, alone and whole.

Whatever they move is not due to the combinations: they make the wanted classes more frequent, and no
more.
"""

from functools import partial

from featpoison.attacks.pretraining_attack import PretrainingAttack
from featpoison.attacks.pretraining_targets import Targets
from featpoison.attacks.whole_images import copies, memory


class ReferenceImages(Targets):
    """Settings of the baseline with references alone."""


PRETRAINING_ATTACK = PretrainingAttack(
    name="reference-images",
    title="Reference images alone",
    settings=ReferenceImages,
    run=partial(copies, part="reference"),
    memory=memory,
)
