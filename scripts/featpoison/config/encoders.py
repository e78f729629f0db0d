"""Where an encoder comes from, as the YAML says it: weights, pre-training with its attackers, snapshots."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

import pydantic
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from featpoison.attacks import pretraining_names
from featpoison.attacks.choices import number
from featpoison.attacks.pretraining_attack import PretrainingAttack
from featpoison.common.settings import Settings
from featpoison.datasets.downloads import Source
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.conversion import Conversion, Format, check_format
from featpoison.pretraining.screening import Screening
from featpoison.pretraining.simclr import SimCLR
from featpoison.pretraining.training import Subset


def exact(value: float) -> float:
    """The number. Raises ValueError for one that paths and tables, which show six digits, cannot say."""
    if float(f"{value:g}") != value:
        raise ValueError(f"{value!r} has more than six digits, expected a number like {value:g}")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]


class PoisoningOf(Settings):
    """Images that somebody puts among those of a pre-training."""

    attack: str
    """What makes them."""
    rate: Annotated[float, Field(gt=0, le=1), AfterValidator(exact)]
    """Poisoning images for each clean pre-training image."""
    seed: NonNegativeInt = 0
    """Poison seed: targets, references, and how they are put together, as far as settings leave that open."""
    settings: Any
    """Settings of the attack, with its targets."""

    @property
    def name(self) -> str:
        """Attack, rate and seed, as paths have them."""
        return f"{self.attack}_rate{number(self.rate)}-seed{self.seed}"

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if not self.settings.targets:
            raise ValueError("settings.targets: {}, expected the targets of at least one downstream data set")
        return self


WITHOUT_SOURCE = {"use_attribute_docstrings": False}
"""For classes that have no source: pydantic would look for it in each module that there is."""


def _poisoning(attack: PretrainingAttack) -> type[PoisoningOf]:
    """The poisoning by one attack, with the settings that this one has."""
    own: dict[str, Any] = {
        "attack": (Literal[attack.name], Field(description=PoisoningOf.model_fields["attack"].description)),
        "settings": (
            attack.settings,
            Field(description=PoisoningOf.model_fields["settings"].description),
        ),
    }
    name = f"PoisoningBy{attack.settings.__name__}"
    return pydantic.create_model(
        name, __base__=PoisoningOf, __doc__=f"{attack.title}.", __cls_kwargs__=WITHOUT_SOURCE, **own
    )


if TYPE_CHECKING:
    Poisoning = PoisoningOf
else:
    Poisoning = Annotated[
        Union[tuple(map(_poisoning, pretraining_names.load_all().values()))],  # noqa: UP007
        Field(discriminator="attack"),
    ]


class ScreeningBy(Screening):
    """A screening of the images before pre-training."""

    encoder: Name
    """Encoder whose features are compared."""


class Pretraining(Settings):
    """An encoder trained here."""

    dataset: Name
    """Data set whose training images it sees, without labels."""
    simclr: SimCLR = SimCLR()
    """How it is trained."""
    poisoning: Poisoning | None = None
    """Images that an attacker adds to those of the data set; null: none."""
    start: Name | None = None
    """Encoder whose weights training begins with, as in fine-tuning; null: random weights."""
    screening: ScreeningBy | None = None
    """What is done against poisons before training; null: nothing."""
    subset: Subset | None = None
    """The part of the images, poisons among them, that training sees; null: all."""

    @model_validator(mode="after")
    def _something_to_screen(self) -> Self:
        if self.screening and not self.poisoning:
            raise ValueError("'screening' is given, expected only with 'poisoning'")
        return self


class Snapshot(Settings):
    """An encoder as it was in the middle of a training, which so stopped early."""

    encoder: Name
    """Encoder that is trained here."""
    epoch: PositiveInt
    """The last epoch, counted from 1. The step size is that of the whole training up to there."""


class EncoderEntry(Settings):
    """Where an encoder comes from: weights, pre-training or snapshot; or the weights that a pre-training or a
    snapshot gave elsewhere, beside the one that gave them."""

    weights: Source | None = None
    """A file of weights. Beside `pretraining` or `snapshot`, which then say how they were made, nothing is
    trained here; their own record has to say the same."""
    pretraining: Pretraining | None = None
    """How it is trained: by this workflow, unless there are `weights`."""
    snapshot: Snapshot | None = None
    """An epoch of another encoder's training."""
    targets: str | None = None
    """A file of this repository with the targets of the `poisoning` of weights that come from elsewhere. They
    are then measured in every task that has their classes. null: the poisons, which have targets, are made
    here."""
    format: Literal["featpoison", Format] = "featpoison"
    """Of the weights: `featpoison` is a safetensors file of this project, which says what it holds; others
    are converted at import."""
    architecture: Architecture | None = None
    """What the weights are of; required for every format but `featpoison`."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.pretraining and self.snapshot:
            raise ValueError("'pretraining' and 'snapshot' are given, expected one of them")
        if not (self.weights or self.pretraining or self.snapshot):
            raise ValueError("expected 'weights', 'pretraining' or 'snapshot'")
        poisoning = self.pretraining.poisoning if self.pretraining else None
        if self.targets and not (self.weights and poisoning):
            raise ValueError(
                "'targets' is given, expected only with 'weights' and a 'pretraining' that has a 'poisoning'"
            )
        return self

    @model_validator(mode="after")
    def _conversion_fits(self) -> Self:
        if self.format == "featpoison":
            if self.architecture is not None:
                raise ValueError(
                    "'architecture' is given, expected none for format 'featpoison', whose files name their "
                    "own"
                )
            return self
        if self.weights is None:
            raise ValueError(f"'format' is {self.format!r}, expected only with 'weights'")
        if self.architecture is None:
            raise ValueError(f"'architecture' is missing, expected one for format {self.format!r}")
        check_format(self.format, self.architecture)
        return self

    @property
    def trained_here(self) -> Pretraining | None:
        """The pre-training, where this workflow runs it."""
        return None if self.weights else self.pretraining

    @property
    def before(self) -> str | None:
        """The encoder that this one is made from, if any."""
        if self.snapshot:
            return self.snapshot.encoder
        return self.pretraining.start if self.pretraining else None

    @property
    def needed(self) -> list[str]:
        """The encoders that have to be there before this one."""
        screening = self.pretraining.screening if self.pretraining else None
        return [name for name in (self.before, screening.encoder if screening else None) if name]

    @property
    def conversion(self) -> Conversion | None:
        """What a foreign checkpoint is; None for this project's own."""
        if self.format == "featpoison" or self.architecture is None:
            return None
        return Conversion(format=self.format, architecture=self.architecture)
