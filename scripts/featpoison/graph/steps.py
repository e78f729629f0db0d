"""What each step reads and under which settings. Snakemake and the audit ask the same functions.

Functions take wildcards as attributes, as Snakemake passes them.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from featpoison.attacks import choices, pretraining_names
from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Attack, Need
from featpoison.attacks.choices import Choice, number
from featpoison.attacks.cross_pairs import Exposure
from featpoison.common.settings import Settings
from featpoison.config import Config, PoisoningOf, ScreeningBy
from featpoison.defences import names as defences
from featpoison.graph.paths import (
    CLEAN_HEADS,
    DECODER,
    DEFENDED,
    ENCODER,
    FEATURES,
    IMAGES,
    NOISE,
    PAIRS,
    POISONED_FEATURES,
    POISONS,
    PRETRAINING_POISONS,
    SCREENED_IMAGES,
    SCREENED_POISONS,
    SNAPSHOTS,
    TARGET,
    TARGET_OF_BUDGET,
    TRAJECTORY,
    code,
    wildcards_of,
)
from featpoison.pretraining.screening import Screening
from featpoison.records import provenance

Wildcards = Any
"""Anything with the wildcards of a path as attributes."""
PLACE_OF_TARGET = ("dataset", "encoder", "budget")
FROZEN_NOISE = "emn-input"
"""The EMN attack whose victims are linear heads on the frozen encoder."""


class Steps:
    """The steps of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.pretrained = [name for name, entry in config.encoders.items() if entry.trained_here]
        self.imported = [name for name, entry in config.encoders.items() if entry.weights]
        self.snapshots = [name for name in config.encoders if self._is_taken(name)]
        self.kept_in_stages = [name for name in self.pretrained if config.snapshots_of(name)]
        self.trained_at_once = [name for name in self.pretrained if name not in self.kept_in_stages]
        self.screened = [name for name in config.encoders if self._screening(name)]
        self.poisoned = [name for name in config.encoders if config.poisoning_of(name)]
        self.shardable = [
            name for name, one in attacks.load_all().items() if one.shardable and config.shards > 1
        ]
        heads = {name: attacks.load(name) for name in attacks.making("target")}
        self.targets = [name for name, one in heads.items() if not one.by_budget]
        self.targets_of_budget = [name for name, one in heads.items() if one.by_budget]
        self.whole = [name for name in attacks.making("images") if name not in self.shardable]

    # Settings of the steps, for the workflow and for the audit.

    def settings_of(self, program: str, wildcards: Wildcards) -> tuple[str, Settings | None] | None:
        """The configuration's key and settings of a program's product; None for a program without settings.

        The settings are None where the configuration has no such entry any more.
        """
        config, found = self.config, SETTINGS.get(program)
        return found(self, config, wildcards) if found else None

    def settings(self, program: str) -> Callable[[Wildcards], str]:
        """The settings of a program's step as JSON, by wildcards."""

        def as_json(wildcards: Wildcards) -> str:
            found = self.settings_of(program, wildcards)
            assert found is not None
            assert found[1] is not None
            return found[1].model_dump_json()

        return as_json

    def conversion_option(self, wildcards: Wildcards) -> list[str]:
        """What a foreign checkpoint is, for the command line; nothing for a file of this project."""
        conversion = self.config.encoders[wildcards.encoder].conversion
        return ["--conversion", conversion.model_dump_json()] if conversion else []

    # Attacks and defences.

    def choice(self, wildcards: Wildcards) -> Choice:
        """The attack of a path with its choices; of a target's path the attack that makes it."""
        segment = getattr(wildcards, "attack", None)
        return _choice_of(segment) if segment else _choice_of(wildcards.target, whole=False)

    def attack(self, wildcards: Wildcards) -> Attack:
        """What the attack of a path says of itself."""
        return attacks.load(self.choice(wildcards).method)

    def source(self, choice: Choice) -> str | None:
        """The segment of the poisoned features that an attack turns into images; None for the others."""
        before = attacks.load(choice.method).poisoned_by
        if before is None:
            return None
        target = choice.target if attacks.is_targeted(before) else None
        return Choice(method=before, set=choice.set, cap=choice.cap, target=target).segment

    def target_file(self, target: str, **known: str) -> str:
        """The file of a target head: `known` are data set, encoder and budget. The budget is part of the path
        where the head depends on it."""
        pattern = TARGET_OF_BUDGET if attacks.load(target).by_budget else TARGET
        return pattern.format(target=target, **known)

    def attack_inputs(self, wildcards: Wildcards) -> dict[str, str]:
        """The files that an attack reads, by need."""
        choice, attack = self.choice(wildcards), self.attack(wildcards)
        patterns: dict[Need, str] = {
            "features": FEATURES,
            "images": IMAGES,
            "encoder": ENCODER,
            "clean": CLEAN_HEADS,
            "trajectory": TRAJECTORY,
            "poisoned": POISONED_FEATURES,
            "pairs": PAIRS,
            "decoder": DECODER,
        }
        known = dict(wildcards.items()) if hasattr(wildcards, "items") else dict(vars(wildcards))
        own = {"attack": self.source(choice), "pairing": choice.pairing or attack.pairing, "kind": "skip"}

        def path(need: Need) -> str:
            if need != "target":
                return patterns[need].format(**(known | own))
            target = choice.target or attack.follows
            assert target is not None  # a targeted attack has one, and a target may be made from another
            return self.target_file(target, **{key: known[key] for key in PLACE_OF_TARGET if key in known})

        return {need: path(need) for need in attack.needs}

    def attack_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of a program that runs an attack, without budget, seed and output."""
        choice, attack = self.choice(wildcards), self.attack(wildcards)
        said = choice.model_dump_json(exclude_none=True)
        options = ["--attack", attack.name, "--choice", said]
        options += ["--settings", self.config.settings_of(attack).model_dump_json()]
        if attack.victim:
            options += ["--victim", self.config.victims.of_class(attack.victim).model_dump_json()]
        for need, path in self.attack_inputs(wildcards).items():
            options += [f"--{need}", path]
        return options

    def target_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the program that makes a target head, which may depend on the budget."""
        budget = ["--budget", wildcards.budget] if self.attack(wildcards).by_budget else []
        return self.attack_options(wildcards) + budget

    def shard_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of `attack_options` for one shard."""
        return [*self.attack_options(wildcards), "--shard", wildcards.scatteritem]

    def attack_code(self, program: str) -> Callable[[Wildcards], str]:
        """The version of a program that runs the attack of a path: of the attacks, that one alone counts."""

        def version(wildcards: Wildcards) -> str:
            return code(program, attacks.module_of(self.attack(wildcards).name))

        return version

    def defence_inputs(self, wildcards: Wildcards) -> dict[str, str]:
        """The poisons, and the files that a defence of poisons alone reads beside them, by need."""
        attack = self.attack(wildcards)
        poisons = POISONS if attack.makes == "images" else POISONED_FEATURES
        patterns = {"images": IMAGES, "features": FEATURES, "poisons": poisons}
        known = dict(wildcards.items())
        needs = ("features", *defences.load(wildcards.defence).needs, "poisons")
        return {need: patterns[need].format(**known) for need in needs}

    def defence_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the program that runs a defence, without the output."""
        defence = defences.load(wildcards.defence)
        options = [
            "--defence",
            defence.name,
            "--settings",
            self.config.settings_of(defence).model_dump_json(),
        ]
        for need, path in self.defence_inputs(wildcards).items():
            options += [f"--{need}", path]
        return options

    def defence_code(self, wildcards: Wildcards) -> str:
        """The version of the code of a defence's step."""
        return code("defend_poisons.py", defences.module_of(wildcards.defence))

    def pairing_options(self, wildcards: Wildcards) -> list[str]:
        """Where base images come from, for the command line."""
        chance = ["--seed", wildcards.seed] if wildcards.pairing == "random" else []
        return ["--pairing", wildcards.pairing, *chance]

    # Pre-training.

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

    # What victims are trained on.

    def poison_files(self, wildcards: Wildcards) -> list[str]:
        """The poisons of all seeds of one attack, defence and budget."""
        makes = self.attack(wildcards).makes
        undefended = POISONS if makes == "images" else POISONED_FEATURES
        defence = getattr(wildcards, "defence", defences.NONE)  # no defence looks at poisons that travel
        pattern = undefended if defence == defences.NONE else DEFENDED
        # A label rule says which labels victims are given; the poisons are the same.
        choice = self.choice(wildcards).model_copy(update={"label": None})
        known = dict(wildcards.items()) | {"attack": choice.segment}
        return [pattern.format(**known, seed=seed) for seed in self.config.poison_seeds]

    def victim_inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        """The files that the victims of an attack are trained from; its target head, where it has one; for
        images also what their 8-bit copies need."""
        known = dict(wildcards.items())
        files: dict[str, Any] = {
            "features": FEATURES.format(**known),
            "poisons": self.poison_files(wildcards),
        }
        if (target := self.choice(wildcards).target) is not None:
            files["target"] = self.target_file(target, **known)
        if self.attack(wildcards).makes == "images":
            files |= {"images": IMAGES.format(**known), "encoder": ENCODER.format(**known)}
        return files

    def victim_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the evaluation that name these files."""
        options = []
        for name, path in self.victim_inputs(wildcards).items():
            options += [f"--{name}", *([path] if isinstance(path, str) else path)]
        return options + self.poison_options(wildcards)

    def poison_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of an evaluation that say what poisons are: their seeds, and whose labels they
        get."""
        labels = ["--base-labels"] if self.choice(wildcards).label == "base" else []
        return ["--poison-seeds", *map(str, self.config.poison_seeds), *labels]

    def quantized_option(self, wildcards: Wildcards, input: Any) -> list[str]:
        """The shards of the 8-bit images' features, for the command line; none where they are not spread."""
        return ["--quantized", *input.quantized] if input.quantized else []

    def noise_files(self, wildcards: Wildcards) -> list[str]:
        """The noise of all poison seeds of one EMN attack."""
        known = dict(wildcards.items())
        return [NOISE.format(**known, seed=seed) for seed in self.config.poison_seeds]

    # Inputs of the first stages.

    def embedded_archive(self, wildcards: Wildcards) -> list[str]:
        """The archive where it lies in the repository, or the images of a folder; a download is no input of
        the graph."""
        return self.config.datasets[wildcards.dataset].local_files

    def embedded_weights(self, wildcards: Wildcards) -> list[str]:
        """The weights where they lie in the repository."""
        source = self.config.encoders[wildcards.encoder].weights
        return [source.path] if source and source.path else []

    def pretraining_images(self, wildcards: Wildcards) -> str:
        """The images that an encoder is pre-trained on."""
        pretraining = self.config.encoders[wildcards.encoder].pretraining
        assert pretraining is not None
        return IMAGES.format(dataset=pretraining.dataset)

    def of_scenario(self, pattern: str, scenario: str, **known: Any) -> str:
        """A path of a scenario's data set and encoder."""
        chosen = self.config.scenarios[scenario]
        return pattern.format(dataset=chosen.dataset, encoder=chosen.encoder, **known)


@cache
def _choice_of(text: str, whole: bool = True) -> Choice:
    """The attack of a path's segment with its choices, or of a target's name, where it is not a `whole`
    segment. Raises ValueError where there is no such attack."""
    choice = choices.parse(text) if whole else Choice(method=text)
    try:
        attacks.check(choice)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from None
    return choice


Found = tuple[str, Settings | None]
"""A key of the configuration and its settings."""


def _attack_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    attack = steps.attack(wildcards)
    return f"attacks.{attack.key}", config.settings_of(attack)


def _decoder_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    return _settings_of("decoder-inversion", config)


def _defence_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    defence = defences.load(wildcards.defence)
    return f"defences.{defence.key}", config.settings_of(defence)


def _emn_victim_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    """Linear victims where the encoder is frozen, whole networks elsewhere."""
    if wildcards.attack == FROZEN_NOISE:
        return "victims", config.victims
    return "network_victims", config.network_victims


def _weights_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    entry = config.encoders.get(wildcards.encoder)
    return f"encoders.{wildcards.encoder}.weights", entry.weights if entry else None


def _pretraining_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    entry = config.encoders.get(wildcards.encoder)
    training = config.training_of(wildcards.encoder) if entry and entry.pretraining else None
    return f"encoders.{wildcards.encoder}.pretraining.simclr", training


def _poisoning_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    poisoning = config.poisoning_of(wildcards.encoder) if wildcards.encoder in config.encoders else None
    same = poisoning is not None and poisoning.name == wildcards.poisoning
    key = f"encoders.{wildcards.encoder}.pretraining.poisoning.settings"
    return key, poisoning.settings if poisoning and same else None


def _snapshot_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    """The epoch; the encoder that it is one of is told by the file that the product was made from."""
    entry = config.encoders.get(wildcards.encoder)
    epoch = _Epoch(epoch=entry.snapshot.epoch) if entry and entry.snapshot else None
    return f"encoders.{wildcards.encoder}.snapshot", epoch


def _screening_settings(steps: Steps, config: Config, wildcards: Wildcards) -> Found:
    """Without the encoder, which is told by the file that the product was made from."""
    entry = config.encoders.get(wildcards.encoder)
    found = entry.pretraining.screening if entry and entry.pretraining else None
    own = Screening(**found.model_dump(exclude={"encoder"})) if found else None
    return f"encoders.{wildcards.encoder}.pretraining.screening", own


class _Epoch(Settings):
    """What the record of a snapshot holds."""

    epoch: int


def _settings_of(name: str, config: Config) -> Found:
    attack = attacks.load(name)
    return f"attacks.{attack.key}", config.settings_of(attack)


SETTINGS: dict[str, Callable[[Steps, Config, Wildcards], Found]] = {
    "fetch_dataset": lambda steps, config, w: (f"datasets.{w.dataset}", config.datasets.get(w.dataset)),
    "import_encoder": _weights_settings,
    "pretrain_encoder": _pretraining_settings,
    "poison_pretraining": _poisoning_settings,
    "screen_pretraining": _screening_settings,
    "take_snapshot": _snapshot_settings,
    "measure_reach": lambda steps, config, w: _settings_of("reachable", config),
    "measure_norms": lambda steps, config, w: ("longest_features", config.longest_features),
    "train_trajectory": lambda steps, config, w: ("trajectory", config.trajectory),
    "train_heads": lambda steps, config, w: ("victims", config.victims),
    "make_target_head": _attack_settings,
    "poison_features": _attack_settings,
    "poison_images": _attack_settings,
    "make_emn_noise": _attack_settings,
    "train_decoder": _decoder_settings,
    "defend_poisons": _defence_settings,
    "transform_features": _defence_settings,
    "evaluate_defence": _defence_settings,
    "evaluate_attack": lambda steps, config, w: ("victims", config.victims),
    "evaluate_transfer": lambda steps, config, w: ("victims", config.victims),
    "evaluate_emn": _emn_victim_settings,
}
"""Where the settings of each program's product stand: said once, for the workflow and for the audit."""


def declared_settings(steps: Steps, path: str, program: str) -> tuple[str, dict[str, Any] | None] | None:
    """The key and the declared settings, as plain JSON, of the product at `path`; None for one without
    settings."""
    known = wildcards_of(path)
    if not known:
        return None
    try:
        found = steps.settings_of(Path(program).stem, SimpleNamespace(**known))
    except ValueError:  # an attack or a defence that is no longer here
        return f"what {path} is made by", None
    if found is None:
        return None
    key, settings = found
    return key, json.loads(provenance.canonical_json(settings.model_dump())) if settings else None
