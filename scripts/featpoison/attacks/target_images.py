"""Baseline of attacks on pre-training: the targets that PoisonedEncoder would combine, alone and whole.

They make the encoder know its targets well, but tell it nothing about a class.
"""

from functools import partial

from featpoison.attacks.pretraining_attack import PretrainingAttack
from featpoison.attacks.pretraining_targets import Targets
from featpoison.attacks.whole_images import copies, memory


class TargetImages(Targets):
    """Settings of the baseline with targets alone."""


PRETRAINING_ATTACK = PretrainingAttack(
    name="target-images",
    title="Target images alone",
    settings=TargetImages,
    run=partial(copies, part="target"),
    memory=memory,
)
