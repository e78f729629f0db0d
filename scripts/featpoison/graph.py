"""The file graph in Python: where each file lies, what each step reads, under which settings, and what a
table or a figure needs. `workflow/rules/common.smk` hands these functions to Snakemake; the audit asks the
same ones.

A path says what a file is. Its wildcards are names of the configuration, an attack with its choices
(`attacks/choices.py`), a budget and a seed. Functions take wildcards as attributes, as Snakemake passes them.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from featpoison.attacks import choices
from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Attack, Makes, Need
from featpoison.attacks.choices import Choice, number
from featpoison.common.settings import Settings
from featpoison.config import DEFAULT_TARGET, Config, TableRow
from featpoison.defences import names as defences
from featpoison.papers import lu2024
from featpoison.records import provenance
from featpoison.results.rows import Request, Row

Wildcards = Any
"""Anything with the wildcards of a path as attributes."""

ARCHIVES = "data/downloads"
IMAGES = "data/images/{dataset}.h5"
ENCODER = "data/encoders/{encoder}.safetensors"
ENCODER_FACTS = "data/encoders/{encoder}.on-{dataset}.json"
FEATURES = "data/features/{dataset}/{encoder}.h5"
FEATURE_SHARD = "data/features/{dataset}/{encoder}.shards/{scatteritem}.h5"
CLEAN_HEADS = "data/heads/{dataset}/{encoder}/clean.h5"
TARGET = "data/targets/{dataset}/{encoder}/{target}.h5"
POISONED_FEATURES = "data/poisoned_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
PAIRS = "data/pairs/{dataset}/{encoder}/{attack}/{pairing}/eps{budget}-seed{seed}.h5"
POISONS = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.h5"
POISON_SHARD = "data/poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.shards/{scatteritem}.h5"
DEFENDED = "data/defended/{dataset}/{encoder}/{attack}/{defence}/eps{budget}-seed{seed}.h5"
NOISE = "data/emn/{dataset}/{encoder}/{attack}/seed{seed}.h5"
DECODER = "data/decoders/{dataset}/{encoder}/{kind}.safetensors"
RECONSTRUCTIONS = "data/reconstructions/{dataset}/{encoder}.h5"
VICTIMS = "data/victims/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.h5"
QUANTIZED_SHARD = "data/victims/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.shards/{scatteritem}.h5"
PUBLISHED = "data/published/published_results.csv"
PATTERNS = (
    IMAGES,
    ENCODER,
    FEATURES,
    CLEAN_HEADS,
    TARGET,
    POISONED_FEATURES,
    PAIRS,
    POISONS,
    DEFENDED,
    NOISE,
    DECODER,
    RECONSTRUCTIONS,
    VICTIMS,
)
"""Of the products whose settings the audit compares."""

TABLE_FORMATS = ("csv", "tex", "pdf", "png")
FIGURE_FORMATS = ("pdf", "png")
FIGURES: dict[str, tuple[str, ...]] = {
    "figure1": (),
    "figure2": (),
    "figure3": (),
    "figure4": (),
    "figure5": (),
    "figure6": (),
    "figure7": ("transfer",),
    "figure8": ("emn",),
    "figure9": (),
    "figure10": ("examples",),
}
"""The figures, and the keys of `figures` that have to be set for them."""
DECODER_KINDS = ("plain", "end-to-end", "skip")
PAIRINGS = ("all", "within-class")
MATCHING, INPUT_POISONS, FROZEN_NOISE = "feature-matching", "gc-input", "emn-input"
"""The attacks that figures show."""


def one_of(names: Iterable[str]) -> str:
    """A pattern that matches just these names; without names it matches nothing."""
    return "|".join(map(re.escape, names)) or "(?!)"


def segments_of(names: Iterable[str]) -> str:
    """A pattern that matches the segments of these attacks, whatever their choices."""
    return rf"(?:{one_of(names)})(?:_[A-Za-z0-9._-]+)?"


def segments_making(*makes: Makes) -> str:
    """A pattern that matches the segments of the attacks that make one of these."""
    return segments_of(attacks.making(*makes))


def wildcards_of(path: str) -> dict[str, str]:
    """The wildcards of a product's path, relative to the repository; empty where it is none of `PATTERNS`."""
    for pattern in PATTERNS:
        expression = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+?)", re.escape(pattern))
        if found := re.fullmatch(expression, path):
            return found.groupdict()
    return {}


def code(program: str, *chosen: str) -> list[str]:
    """A program and the modules that it imports, or chooses by name: editing one of them runs its rule
    again."""
    files = [provenance.module_file(module) for module in chosen]
    closure = provenance.import_closure(provenance.SCRIPTS / program, *files)
    return [provenance.relative(path) for path in closure]


class Graph:
    """The graph of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.output = config.output
        self.pretrained = [name for name, entry in config.encoders.items() if entry.pretraining]
        self.imported = [name for name, entry in config.encoders.items() if entry.weights]
        self.shardable = [
            name for name, one in attacks.load_all().items() if one.shardable and config.shards > 1
        ]
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
        return choices.parse(segment) if segment else Choice(method=wildcards.target)

    def attack(self, wildcards: Wildcards) -> Attack:
        """What the attack of a path says of itself."""
        return attacks.load(self.choice(wildcards).method)

    def source(self, choice: Choice) -> str | None:
        """The segment of the poisoned features that an attack turns into images; None for the others."""
        before = attacks.load(choice.method).poisoned_by
        if before is None:
            return None
        target = choice.target if attacks.is_targeted(before) else None
        return Choice(method=before, set=choice.set, target=target).segment

    def attack_inputs(self, wildcards: Wildcards) -> dict[str, str]:
        """The files that an attack reads, by need."""
        choice, attack = self.choice(wildcards), self.attack(wildcards)
        patterns: dict[Need, str] = {
            "features": FEATURES,
            "images": IMAGES,
            "encoder": ENCODER,
            "clean": CLEAN_HEADS,
            "target": TARGET,
            "poisoned": POISONED_FEATURES,
            "pairs": PAIRS,
            "decoder": DECODER,
        }
        known = dict(wildcards.items()) if hasattr(wildcards, "items") else dict(vars(wildcards))
        own = {
            "attack": self.source(choice),
            "target": choice.target,
            "pairing": attack.pairing,
            "kind": "skip",
        }
        return {need: patterns[need].format(**(known | own)) for need in attack.needs}

    def attack_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of a program that runs an attack, without budget, seed and output."""
        choice, attack = self.choice(wildcards), self.attack(wildcards)
        said = choice.model_dump_json(exclude_none=True)
        options = ["--attack", attack.name, "--choice", said]
        options += ["--settings", self.config.settings_of(attack).model_dump_json()]
        if attack.victim:
            options += ["--victim", self.config.victims.converged.model_dump_json()]
        for need, path in self.attack_inputs(wildcards).items():
            options += [f"--{need}", path]
        return options

    def shard_options(self, wildcards: Wildcards) -> list[str]:
        """The same for one shard."""
        return [*self.attack_options(wildcards), "--shard", wildcards.scatteritem]

    def attack_code(self, program: str) -> Callable[[Wildcards], list[str]]:
        """The code of a program that runs the attack of a path: of the attacks, that one alone."""

        def files(wildcards: Wildcards) -> list[str]:
            return code(program, attacks.module_of(self.attack(wildcards).name))

        return files

    def defence_inputs(self, wildcards: Wildcards) -> dict[str, str]:
        """The poisons, and the files that a defence reads beside them, by need."""
        attack = self.attack(wildcards)
        poisons = POISONS if attack.makes == "images" else POISONED_FEATURES
        patterns = {"images": IMAGES, "features": FEATURES, "poisons": poisons}
        known = dict(wildcards.items())
        needs = (*defences.load(wildcards.defence).needs, "poisons")
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

    def defence_code(self, wildcards: Wildcards) -> list[str]:
        """The code of a defence's step."""
        return code("defend_poisons.py", defences.module_of(wildcards.defence))

    def pairing_option(self, wildcards: Wildcards) -> str:
        """Where base images are looked for, for the command line."""
        return "--within-class" if wildcards.pairing == "within-class" else ""

    # What victims are trained on.

    def poison_files(self, wildcards: Wildcards) -> list[str]:
        """The poisons of all seeds of one attack, defence and budget."""
        makes = self.attack(wildcards).makes
        undefended = POISONS if makes == "images" else POISONED_FEATURES
        pattern = undefended if wildcards.defence == defences.NONE else DEFENDED
        known = dict(wildcards.items())
        return [pattern.format(**known, seed=seed) for seed in self.config.poison_seeds]

    def victim_inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        """The files that the victims of an attack are trained from; for images also what their 8-bit copies
        need."""
        known = dict(wildcards.items())
        target = self.choice(wildcards).target or DEFAULT_TARGET
        files: dict[str, Any] = {
            "features": FEATURES.format(**known),
            "target": TARGET.format(**(known | {"target": target})),
            "poisons": self.poison_files(wildcards),
        }
        if self.attack(wildcards).makes == "images":
            files |= {"images": IMAGES.format(**known), "encoder": ENCODER.format(**known)}
        return files

    def victim_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the evaluation that name these files."""
        options = []
        for name, path in self.victim_inputs(wildcards).items():
            options += [f"--{name}", *([path] if isinstance(path, str) else path)]
        return options

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

    # Tables and claims.

    def title(self, row: Row) -> str:
        """A row's title: the paper's own where it has one, else the attack with what tells its rows apart."""
        attack = attacks.load(row.method)
        remarks = [] if row.beta is None else [f"beta = {row.beta:g}"]
        if row.norm_cap is not None:
            remarks.append(f"cap {row.norm_cap:g}")
        elif row.set in ("constrained", "valid"):
            remarks.append(str(row.set))
        own = lu2024.title_of(row)
        if row.defence and own is None:
            remarks.append(defences.load(row.defence).title)
        if row.target not in (None, DEFAULT_TARGET):
            remarks.append(f"target {row.target}")
        if attack.makes == "noise":
            remarks.append(str(row.scenario))
        if attack.ours:
            remarks.append("ours")
        return (own or attack.title) + (f" ({', '.join(remarks)})" if remarks else "")

    def request(self, table: str, row: TableRow, budget: float) -> Request:
        """What a cell shows, and where its numbers come from."""
        scenario = row.scenario or self.config.tables[table].scenario
        own = Row(**row.model_dump() | {"scenario": scenario})
        if row.attack.makes == "target":
            source = self.of_scenario(TARGET, scenario, target=row.method)
        else:
            known = {"defence": row.defence or defences.NONE, "budget": number(budget)}
            source = self.of_scenario(VICTIMS, scenario, attack=row.choice.segment, **known)
        attack = row.attack
        said = {"makes": attack.makes, "title": self.title(own), "group": attack.tint}
        return Request.model_validate({"row": own, "eps_d": budget, "source": source, **said})

    def requests(self, table: str) -> list[Request]:
        """The cells of a table, row by row."""
        declared = self.config.tables[table]
        return [self.request(table, row, budget) for row in declared.rows for budget in declared.budgets]

    def cells_json(self, wildcards: Wildcards) -> str:
        """The cells of a table, as the program wants them."""
        return _json([request.model_dump(exclude_none=True) for request in self.requests(wildcards.table)])

    def table_results(self, wildcards: Wildcards) -> list[str]:
        """The result files of a table."""
        return sorted({request.source for request in self.requests(wildcards.table)})

    def table_victims(self, wildcards: Wildcards) -> list[str]:
        """Those of retrained victims."""
        requests = self.requests(wildcards.table)
        return sorted({request.source for request in requests if request.makes != "target"})

    def _shared(self, pattern: str, table: str, **known: str) -> str | list[str]:
        """A file that all rows of a table share; none for rows of EMN alone, which bring their own clean
        accuracy."""
        if all(row.perturbs_all for row in self.config.tables[table].rows):
            return []
        return self.of_scenario(pattern, self.config.tables[table].scenario, **known)

    def table_clean_heads(self, wildcards: Wildcards) -> str | list[str]:
        """The clean heads of a table's scenario."""
        return self._shared(CLEAN_HEADS, wildcards.table)

    def table_target(self, wildcards: Wildcards) -> str | list[str]:
        """The target head of a table's scenario."""
        return self._shared(TARGET, wildcards.table, target=DEFAULT_TARGET)

    def judged(self) -> dict[str, Any]:
        """What the claims are judged on: the shared files of each scenario of a table, and all tables'
        cells."""
        requests = [request for table in self.config.tables for request in self.requests(table)]
        scenarios = sorted({str(request.row.scenario) for request in requests})
        shared = {"features": FEATURES, "clean": CLEAN_HEADS, "target": TARGET}
        files = {
            scenario: {
                name: self.of_scenario(pattern, scenario, target=DEFAULT_TARGET)
                for name, pattern in shared.items()
            }
            for scenario in scenarios
        }
        return {"scenarios": files, "results": [one.model_dump(exclude_none=True) for one in requests]}

    def judged_json(self, wildcards: Wildcards) -> str:
        """`judged` as the program wants it."""
        return _json(self.judged())

    def judged_files(self, wildcards: Wildcards) -> list[str]:
        """All files that the claims are judged on."""
        found = self.judged()
        shared = {path for files in found["scenarios"].values() for path in files.values()}
        return sorted(shared | {result["source"] for result in found["results"]})

    # Figures.

    @property
    def shown_scenarios(self) -> list[str]:
        """The scenarios of Figure 6."""
        figures = self.config.figures
        return [name for name in (figures.scenario, figures.transfer) if name]

    def _matching(self, beta: float) -> str:
        kept_in = self.config.figures.set
        return Choice(method=MATCHING, set=kept_in, beta=beta, target=DEFAULT_TARGET).segment

    def _poisons(self, scenario: str, attack: str) -> str:
        """The poisons that figures show: those of the first seed at the figures' budget."""
        budget = number(self.config.figures.budget)
        return self.of_scenario(
            POISONS, scenario, attack=attack, budget=budget, seed=self.config.poison_seeds[0]
        )

    def shown_poisons(self, wildcards: Wildcards) -> list[str]:
        """Poisons of feature matching, one file for each beta."""
        figures = self.config.figures
        return [self._poisons(figures.scenario, self._matching(beta)) for beta in figures.betas]

    def transfer_poisons(self, wildcards: Wildcards) -> list[str]:
        """The same in the transfer scenario, where the configuration names one."""
        figures = self.config.figures
        betas = figures.transfer_betas if figures.transfer else ()
        return [self._poisons(str(figures.transfer), self._matching(beta)) for beta in betas]

    @property
    def _input_attack(self) -> str:
        return Choice(method=INPUT_POISONS, set="free", target=DEFAULT_TARGET).segment

    def input_poisons(self, wildcards: Wildcards) -> str:
        """Poisons of gradient canceling in input space, without constraints."""
        return self._poisons(self.config.figures.scenario, self._input_attack)

    def shown(self, pattern: str, **known: str) -> Callable[[Wildcards], str]:
        """A product of the figures' scenario, at their budget and of the first seed where its path has
        these."""

        def path(wildcards: Wildcards) -> str:
            figures = self.config.figures
            usual = {
                "budget": number(figures.budget),
                "seed": self.config.poison_seeds[0],
                "defence": defences.NONE,
            }
            return self.of_scenario(pattern, figures.scenario, **(usual | known))

        return path

    def canceled_features(self, wildcards: Wildcards) -> str:
        """The poisoned features that the shown matching aims at."""
        segment = self.source(choices.parse(self._matching(self.config.figures.betas[0])))
        assert segment is not None
        return self.shown(POISONED_FEATURES, attack=segment)(wildcards)

    def first_shown(self, wildcards: Wildcards) -> str:
        """Poisons of feature matching at the first beta."""
        return self.shown_poisons(wildcards)[0]

    def first_shown_victims(self, wildcards: Wildcards) -> str:
        """The result file of these poisons."""
        return self.shown(VICTIMS, attack=self._matching(self.config.figures.betas[0]))(wildcards)

    def input_victims(self, wildcards: Wildcards) -> str:
        """The result file of `input_poisons`."""
        return self.shown(VICTIMS, attack=self._input_attack)(wildcards)

    def images_of(self, key: str) -> Callable[[Wildcards], str]:
        """The images of the scenario that a key of `figures` names."""

        def path(wildcards: Wildcards) -> str:
            return self.of_scenario(IMAGES, getattr(self.config.figures, key))

        return path

    def emn_images(self, wildcards: Wildcards) -> list[str]:
        """The images of the scenarios of Figure 8."""
        return [self.of_scenario(IMAGES, name) for name in self.config.figures.emn]

    def shown_noise(self, wildcards: Wildcards) -> list[str]:
        """Noise of the first seed against the frozen encoder, one file for each scenario of Figure 8."""
        seed, names = self.config.poison_seeds[0], self.config.figures.emn
        return [self.of_scenario(NOISE, name, attack=FROZEN_NOISE, seed=seed) for name in names]

    # What `rule all` asks for.

    @property
    def table_files(self) -> list[str]:
        """All forms of all tables."""
        return [f"{self.output}/{table}.{form}" for table in self.config.tables for form in TABLE_FORMATS]

    @property
    def figure_files(self) -> list[str]:
        """All forms of the figures for which the configuration says what they show."""
        chosen = [
            figure
            for figure, keys in FIGURES.items()
            if self.config.tables and all(getattr(self.config.figures, key) for key in keys)
        ]
        return [f"{self.output}/{figure}.{form}" for figure in chosen for form in FIGURE_FORMATS]

    @property
    def claim_files(self) -> list[str]:
        """The page of claims."""
        return [f"{self.output}/claims.md"] if self.config.tables else []


Found = tuple[str, Settings | None]
"""A key of the configuration and its settings."""


def _attack_settings(graph: Graph, config: Config, wildcards: Wildcards) -> Found:
    attack = graph.attack(wildcards)
    return f"attacks.{attack.key}", config.settings_of(attack)


def _decoder_settings(graph: Graph, config: Config, wildcards: Wildcards) -> Found:
    attack = attacks.load("decoder-inversion")
    return f"attacks.{attack.key}", config.settings_of(attack)


def _defence_settings(graph: Graph, config: Config, wildcards: Wildcards) -> Found:
    defence = defences.load(wildcards.defence)
    return f"defences.{defence.key}", config.settings_of(defence)


def _emn_victim_settings(graph: Graph, config: Config, wildcards: Wildcards) -> Found:
    """Linear victims where the encoder is frozen, whole networks elsewhere."""
    if wildcards.attack == FROZEN_NOISE:
        return "victims", config.victims
    return "network_victims", config.network_victims


def _weights_settings(graph: Graph, config: Config, wildcards: Wildcards) -> Found:
    entry = config.encoders.get(wildcards.encoder)
    return f"encoders.{wildcards.encoder}.weights", entry.weights if entry else None


def _pretraining_settings(graph: Graph, config: Config, wildcards: Wildcards) -> Found:
    entry = config.encoders.get(wildcards.encoder)
    simclr = entry.pretraining.simclr if entry and entry.pretraining else None
    return f"encoders.{wildcards.encoder}.pretraining.simclr", simclr


SETTINGS: dict[str, Callable[[Graph, Config, Wildcards], Found]] = {
    "fetch_dataset": lambda graph, config, w: (f"datasets.{w.dataset}", config.datasets.get(w.dataset)),
    "import_encoder": _weights_settings,
    "pretrain_encoder": _pretraining_settings,
    "train_heads": lambda graph, config, w: ("victims", config.victims),
    "make_target_head": _attack_settings,
    "poison_features": _attack_settings,
    "poison_images": _attack_settings,
    "make_emn_noise": _attack_settings,
    "train_decoder": _decoder_settings,
    "defend_poisons": _defence_settings,
    "evaluate_attack": lambda graph, config, w: ("victims", config.victims),
    "evaluate_emn": _emn_victim_settings,
}
"""Where the settings of each program's product stand: said once, for the workflow and for the audit."""


def _json(values: Any) -> str:
    """Sorted JSON, in which an infinite budget is the text "inf"."""
    return provenance.canonical_json(_finite(values))


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return "inf" if isinstance(values, float) and math.isinf(values) else values


def declared_settings(graph: Graph, path: str, program: str) -> tuple[str, dict[str, Any] | None] | None:
    """The key and the declared settings, as plain JSON, of the product at `path`; None for one without
    settings."""
    known = wildcards_of(path)
    if not known:
        return None
    found = graph.settings_of(Path(program).stem, SimpleNamespace(**known))
    if found is None:
        return None
    key, settings = found
    return key, json.loads(provenance.canonical_json(settings.model_dump())) if settings else None
