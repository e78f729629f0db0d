"""What the steps of pre-training read and under which settings, poisoned pre-training among them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from featpoison.attacks import pretraining_names
from featpoison.attacks.choices import number
from featpoison.attacks.cross_pairs import Exposure
from featpoison.common.settings import Settings
from featpoison.config import Config, PoisoningOf, ScreeningBy
from featpoison.graph.paths import (
    ENCODER,
    IMAGES,
    PRETRAINING_POISONS,
    SCREENED_IMAGES,
    SCREENED_POISONS,
    SNAPSHOTS,
    code,
)
from featpoison.pretraining.screening import Screening

Wildcards = Any
"""Anything with the wildcards of a path as attributes."""

Found = tuple[str, Settings | None]
"""A key of the configuration and its settings, which are None where it has no such entry any more."""


class PretrainingSteps:
    """The steps of one configuration that make encoders, and that measure what poisons did to them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.pretrained = [name for name, entry in config.encoders.items() if entry.trained_here]
        self.imported = [name for name, entry in config.encoders.items() if entry.weights]
        self.snapshots = [name for name in config.encoders if self._is_taken(name)]
        self.kept_in_stages = [name for name in self.pretrained if config.snapshots_of(name)]
        self.trained_at_once = [name for name in self.pretrained if name not in self.kept_in_stages]
        self.screened = [name for name in config.encoders if self._screening(name)]
        self.poisoned = [name for name in config.encoders if config.poisoning_of(name)]

    def conversion_option(self, wildcards: Wildcards) -> list[str]:
        """What a foreign checkpoint is, for the command line; nothing for a file of this project."""
        conversion = self.config.encoders[wildcards.encoder].conversion
        return ["--conversion", conversion.model_dump_json()] if conversion else []

    def embedded_weights(self, wildcards: Wildcards) -> list[str]:
        """The weights where they lie in the repository."""
        source = self.config.encoders[wildcards.encoder].weights
        return [source.path] if source and source.path else []

    def pretraining_images(self, wildcards: Wildcards) -> str:
        """The images that an encoder is pre-trained on."""
        pretraining = self.config.encoders[wildcards.encoder].pretraining
        assert pretraining is not None
        return IMAGES.format(dataset=pretraining.dataset)

    def pretraining_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of a pre-training beside its settings and output: images, poisons, and the encoder
        that it begins with."""
        options = ["--images", self.trained_images(wildcards)]
        for name, paths in (
            ("poisons", self.trained_poisons(wildcards)),
            ("start", self.starting_encoder(wildcards)),
        ):
            options += [part for path in paths for part in (f"--{name}", path)]
        return options

    def _is_taken(self, encoder: str) -> bool:
        """Whether an encoder is a snapshot of a training that runs here."""
        entry = self.config.encoders[encoder]
        return entry.snapshot is not None and entry.weights is None

    def _screening(self, encoder: str) -> ScreeningBy | None:
        pretraining = self.config.encoders[encoder].pretraining
        return pretraining.screening if pretraining else None

    def trained_images(self, wildcards: Wildcards) -> str:
        """The clean images that an encoder is trained on: what a screening left of them, where there is
        one."""
        if self._screening(wildcards.encoder):
            return SCREENED_IMAGES.format(encoder=wildcards.encoder)
        return self.pretraining_images(wildcards)

    def trained_poisons(self, wildcards: Wildcards) -> list[str]:
        """The poisons that an encoder is trained on, if any; likewise."""
        if self._screening(wildcards.encoder):
            return [SCREENED_POISONS.format(encoder=wildcards.encoder)]
        return self.pretraining_poisons(wildcards)

    def screening_encoder(self, wildcards: Wildcards) -> str:
        """The encoder whose features a screening compares."""
        screening = self._screening(wildcards.encoder)
        assert screening is not None
        return ENCODER.format(encoder=screening.encoder)

    def pretraining_poisons(self, wildcards: Wildcards) -> list[str]:
        """The poisons that were put among an encoder's images, if any."""
        if (poisoning := self.config.poisoning_of(wildcards.encoder)) is None:
            return []
        return [PRETRAINING_POISONS.format(encoder=wildcards.encoder, poisoning=poisoning.name)]

    def starting_encoder(self, wildcards: Wildcards) -> list[str]:
        """The encoder that a pre-training begins with, if any."""
        pretraining = self.config.encoders[wildcards.encoder].pretraining
        start = pretraining.start if pretraining else None
        return [] if start is None else [ENCODER.format(encoder=start)]

    def snapshots_file(self, wildcards: Wildcards) -> str:
        """The snapshots that an encoder is one of."""
        snapshot = self.config.encoders[wildcards.encoder].snapshot
        assert snapshot is not None
        return SNAPSHOTS.format(encoder=snapshot.encoder)

    def snapshot_epoch(self, wildcards: Wildcards) -> int:
        """The epoch after which an encoder was taken."""
        snapshot = self.config.encoders[wildcards.encoder].snapshot
        assert snapshot is not None
        return snapshot.epoch

    def poisoning(self, wildcards: Wildcards) -> PoisoningOf:
        """The poisoning of a path's encoder. Raises ValueError where the path names another one."""
        found = self.config.poisoning_of(wildcards.encoder)
        if found is None or wildcards.poisoning != found.name:
            expected = found.name if found else "none"
            raise ValueError(f"poisoning {wildcards.poisoning} of {wildcards.encoder}, expected {expected}")
        return found

    def downstream_images(self, wildcards: Wildcards) -> list[str]:
        """The images of the downstream tasks that a poisoning aims at."""
        names = sorted(self.poisoning(wildcards).settings.targets)
        return [IMAGES.format(dataset=name) for name in names]

    def poisoning_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the program that makes poisons of pre-training, without the output."""
        poisoning = self.poisoning(wildcards)
        named = [
            f"{name}={path}"
            for name, path in zip(
                sorted(poisoning.settings.targets), self.downstream_images(wildcards), strict=True
            )
        ]
        options = ["--attack", poisoning.attack, "--images", self.pretraining_images(wildcards)]
        options += ["--settings", poisoning.settings.model_dump_json(), "--rate", number(poisoning.rate)]
        return [*options, "--seed", str(poisoning.seed), "--downstream", *named]

    def poisoning_code(self, wildcards: Wildcards) -> str:
        """The version of the program that makes poisons of pre-training: of the attacks, that one counts."""
        return code("poison_pretraining.py", pretraining_names.module_of(self.poisoning(wildcards).attack))

    def poisons_of(self, encoder: str) -> str:
        """The poisons of an encoder whose pre-training was poisoned."""
        poisoning = self.config.poisoning_of(encoder)
        assert poisoning is not None
        return PRETRAINING_POISONS.format(encoder=encoder, poisoning=poisoning.name)

    def measure_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments that name the targets to be measured and what the measured encoder saw of the
        poisons."""
        files = self.aimed_files(wildcards)
        options = [part for name, path in files.items() for part in (f"--{name}", path)]
        if self._saw(wildcards):
            options += ["--exposure", self.exposure(wildcards.encoder).model_dump_json()]
        return options

    def aimed_files(self, wildcards: Wildcards) -> dict[str, str]:
        """The files that have the targets to be measured, and the images and poisons that the measured
        encoder was trained on, where it saw any poisons: by the arguments that name them."""
        if targets := self.config.encoders[wildcards.poisoned].targets:
            own = {"dataset": wildcards.dataset, "encoder": wildcards.encoder}
            return {"targets": targets, "images": IMAGES.format(**own), "encoder": ENCODER.format(**own)}
        files = {"poisons": self.poisons_of(wildcards.poisoned)}
        if self._saw(wildcards):
            source = SimpleNamespace(encoder=wildcards.poisoned)
            (poisons,) = self.trained_poisons(source)
            files |= {"seen-images": self.trained_images(source), "seen-poisons": poisons}
        return files

    def measured_files(self, wildcards: Wildcards) -> list[str]:
        """`aimed_files` without the names."""
        return list(self.aimed_files(wildcards).values())

    def _saw(self, wildcards: Wildcards) -> bool:
        """Whether the measured encoder saw the poisons whose targets are measured."""
        return self.config.poisoned_by(wildcards.encoder) == wildcards.poisoned

    def exposure(self, encoder: str) -> Exposure:
        """What an encoder that is poisoned, or made from one that is, saw of the poisons."""
        table = self.config.pretraining_table
        assert table is not None
        lineage = self.config.lineage(encoder)
        source = self.config.poisoned_by(encoder)
        assert source is not None
        pretraining = self.config.encoders[source].pretraining
        assert pretraining is not None
        epochs = pretraining.simclr.epochs
        before = lineage.index(source) - 1
        if before >= 0 and (snapshot := self.config.encoders[lineage[before]].snapshot):
            epochs = snapshot.epoch
        subset = pretraining.subset.images if pretraining.subset else None
        return Exposure(
            epochs=epochs,
            augmentation=pretraining.simclr.augmentation,
            subset=subset,
            share=table.shown_share,
        )


def _weights_settings(steps: PretrainingSteps, wildcards: Wildcards) -> Found:
    entry = steps.config.encoders.get(wildcards.encoder)
    return f"encoders.{wildcards.encoder}.weights", entry.weights if entry else None


def _pretraining_settings(steps: PretrainingSteps, wildcards: Wildcards) -> Found:
    entry = steps.config.encoders.get(wildcards.encoder)
    training = steps.config.training_of(wildcards.encoder) if entry and entry.pretraining else None
    return f"encoders.{wildcards.encoder}.pretraining.simclr", training


def _poisoning_settings(steps: PretrainingSteps, wildcards: Wildcards) -> Found:
    poisoning = (
        steps.config.poisoning_of(wildcards.encoder) if wildcards.encoder in steps.config.encoders else None
    )
    same = poisoning is not None and poisoning.name == wildcards.poisoning
    key = f"encoders.{wildcards.encoder}.pretraining.poisoning.settings"
    return key, poisoning.settings if poisoning and same else None


def _snapshot_settings(steps: PretrainingSteps, wildcards: Wildcards) -> Found:
    """The epoch; the encoder that it is one of is told by the file that the product was made from."""
    entry = steps.config.encoders.get(wildcards.encoder)
    epoch = _Epoch(epoch=entry.snapshot.epoch) if entry and entry.snapshot else None
    return f"encoders.{wildcards.encoder}.snapshot", epoch


def _screening_settings(steps: PretrainingSteps, wildcards: Wildcards) -> Found:
    """Without the encoder, which is told by the file that the product was made from."""
    entry = steps.config.encoders.get(wildcards.encoder)
    found = entry.pretraining.screening if entry and entry.pretraining else None
    own = Screening(**found.model_dump(exclude={"encoder"})) if found else None
    return f"encoders.{wildcards.encoder}.pretraining.screening", own


class _Epoch(Settings):
    """What the record of a snapshot holds."""

    epoch: int


SETTINGS: dict[str, Callable[[PretrainingSteps, Wildcards], Found]] = {
    "import_encoder": _weights_settings,
    "pretrain_encoder": _pretraining_settings,
    "poison_pretraining": _poisoning_settings,
    "screen_pretraining": _screening_settings,
    "take_snapshot": _snapshot_settings,
}
"""Where the settings of each of these programs' products stand."""
