"""What each step reads and under which settings. Snakemake and the audit ask the same functions.

Functions take wildcards as attributes, as Snakemake passes them.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from featpoison.attacks import choices
from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Attack, Need
from featpoison.attacks.choices import Choice
from featpoison.config import Config
from featpoison.defences import names as defences
from featpoison.graph import pretraining_steps
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
    TARGET,
    TARGET_OF_BUDGET,
    TRAJECTORY,
    code,
    wildcards_of,
)
from featpoison.graph.pretraining_steps import Found, PretrainingSteps, Wildcards
from featpoison.records import provenance

PLACE_OF_TARGET = ("dataset", "encoder", "budget")
FROZEN_NOISE = "emn-input"
"""The EMN attack whose victims are linear heads on the frozen encoder."""


class Steps(PretrainingSteps):
    """The steps of one configuration: those of pre-training, and all after them."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.shardable = [
            name for name, one in attacks.load_all().items() if one.shardable and config.shards > 1
        ]
        heads = {name: attacks.load(name) for name in attacks.making("target")}
        self.targets = [name for name, one in heads.items() if not one.by_budget]
        self.targets_of_budget = [name for name, one in heads.items() if one.by_budget]
        self.whole = [name for name in attacks.making("images") if name not in self.shardable]

    # Settings of the steps, for the workflow and for the audit.

    def settings_of(self, program: str, wildcards: Wildcards) -> Found | None:
        """The configuration's key and settings of a program's product; None for a program without settings.

        The settings are None where the configuration has no such entry any more.
        """
        found = SETTINGS.get(program)
        return found(self, wildcards) if found else None

    def settings(self, program: str) -> Callable[[Wildcards], str]:
        """The settings of a program's step as JSON, by wildcards."""

        def as_json(wildcards: Wildcards) -> str:
            found = self.settings_of(program, wildcards)
            assert found is not None
            assert found[1] is not None
            return found[1].model_dump_json()

        return as_json

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


def _attack_settings(steps: Steps, wildcards: Wildcards) -> Found:
    return _settings_of(steps, steps.attack(wildcards).name)


def _decoder_settings(steps: Steps, wildcards: Wildcards) -> Found:
    return _settings_of(steps, "decoder-inversion")


def _defence_settings(steps: Steps, wildcards: Wildcards) -> Found:
    defence = defences.load(wildcards.defence)
    return f"defences.{defence.key}", steps.config.settings_of(defence)


def _emn_victim_settings(steps: Steps, wildcards: Wildcards) -> Found:
    """Linear victims where the encoder is frozen, whole networks elsewhere."""
    if wildcards.attack == FROZEN_NOISE:
        return "victims", steps.config.victims
    return "network_victims", steps.config.network_victims


def _settings_of(steps: Steps, name: str) -> Found:
    attack = attacks.load(name)
    return f"attacks.{attack.key}", steps.config.settings_of(attack)


SETTINGS: dict[str, Callable[[Steps, Wildcards], Found]] = {
    **pretraining_steps.SETTINGS,
    "fetch_dataset": lambda steps, w: (f"datasets.{w.dataset}", steps.config.datasets.get(w.dataset)),
    "measure_reach": lambda steps, w: _settings_of(steps, "reachable"),
    "measure_norms": lambda steps, w: ("longest_features", steps.config.longest_features),
    "train_trajectory": lambda steps, w: ("trajectory", steps.config.trajectory),
    "train_heads": lambda steps, w: ("victims", steps.config.victims),
    "make_target_head": _attack_settings,
    "poison_features": _attack_settings,
    "poison_images": _attack_settings,
    "make_emn_noise": _attack_settings,
    "train_decoder": _decoder_settings,
    "defend_poisons": _defence_settings,
    "transform_features": _defence_settings,
    "evaluate_defence": _defence_settings,
    "evaluate_attack": lambda steps, w: ("victims", steps.config.victims),
    "evaluate_transfer": lambda steps, w: ("victims", steps.config.victims),
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
