"""The configuration: frozen, typed models of the YAML. The one source of defaults, schema and the
documentation of every knob."""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

import pydantic
import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from featpoison.attacks import names as attacks
from featpoison.attacks import pretraining_names
from featpoison.attacks.attack import Attack
from featpoison.attacks.choices import DEFAULT_TARGET, Choice, Set, number
from featpoison.attacks.longest_features import LongestFeatures
from featpoison.attacks.pretraining_attack import PretrainingAttack
from featpoison.common.settings import Settings
from featpoison.datasets.downloads import Source
from featpoison.datasets.sources import Dataset
from featpoison.defences import names as defences
from featpoison.defences.defence import Defence
from featpoison.downstream.networks import NetworkVictims
from featpoison.downstream.trajectory import Trajectory
from featpoison.downstream.victims import Victims
from featpoison.encoders.architecture import Architecture
from featpoison.encoders.conversion import Conversion, Format, check_format
from featpoison.pretraining.screening import Screening
from featpoison.pretraining.simclr import SimCLR
from featpoison.pretraining.training import Subset, Training
from featpoison.records.provenance import ROOT
from featpoison.results.rows import Row

POISONS_ALONE = [name for name, one in defences.load_all().items() if one.poisons_alone]
"""The defences that rows of ordinary tables can have."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
Budget = Annotated[float, Field(gt=0, allow_inf_nan=True)]


class ConfigError(ValueError):
    """The configuration is wrong; the message names the file, the key, the value and what was expected."""


class PoisoningOf(Settings):
    """Images that somebody puts among those of a pre-training."""

    attack: str
    """What makes them."""
    rate: Annotated[float, Field(gt=0, le=1)]
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
    return pydantic.create_model(name, __base__=PoisoningOf, __doc__=f"{attack.title}.", **own)


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
    """Where an encoder comes from: weights, pre-training or snapshot, exactly one of the three."""

    weights: Source | None = None
    """A file of weights."""
    pretraining: Pretraining | None = None
    """Trained by this workflow."""
    snapshot: Snapshot | None = None
    """An epoch of another encoder's training."""
    format: Literal["featpoison", Format] = "featpoison"
    """Of the weights: `featpoison` is a safetensors file of this project, which says what it holds; others
    are converted at import."""
    architecture: Architecture | None = None
    """What the weights are of; required for every format but `featpoison`."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.weights, self.pretraining, self.snapshot)) != 1:
            raise ValueError("expected exactly one of 'weights', 'pretraining' and 'snapshot'")
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


class Scenario(Settings):
    """A downstream task on a frozen encoder."""

    dataset: Name
    """Data set of the linear head."""
    encoder: Name
    """Frozen encoder."""


class TableRow(Row):
    """A row of a table."""

    method: Annotated[str, Field(json_schema_extra={"enum": list(attacks.NAMES)})]
    """Attack."""
    set: Set | None = None
    """What its poisons are kept in: `free`, `valid`, `constrained`, `emittable`, or a number, the largest
    norm of a poisoned feature in units of the mean clean norm; of an attack that turns poisoned features into
    images, the set of these features. Null: the attack's usual set."""
    cap: PositiveFloat | None = None
    """With `set: emittable`, the largest norm of a poisoned feature in units of the mean clean norm."""
    beta: PositiveFloat | None = None
    """Feature matching of any kind: weight of staying close to the base image."""
    pairing: Literal["within-class"] | None = None
    """Feature matching: `within-class` looks for base images only among those of the poison's label, so that
    labels look right; null: among all images."""
    label: Literal["base"] | None = None
    """Feature matching among all images: `base` gives each poison the label of its base image, for which the
    poisoned feature was not made; null: the label of the poisoned feature."""
    target: str | None = None
    """Target head of an attack that has one; null: gradpc-feature, the paper's."""
    # Not strict: a list stays a list when it has passed through `_usual_choices`.
    budgets: Annotated[tuple[Budget, ...] | None, Field(strict=False)] = None
    """Those of the table's budgets at which this row is run; null: all of them."""
    defence: Annotated[str | None, Field(json_schema_extra={"enum": [*POISONS_ALONE, None]})] = None
    """What stands between poisons and victims; null: nothing."""
    scenario: Name | None = None
    """Attacks that perturb the whole training set only: key of `scenarios`; null: the table's."""

    @model_validator(mode="before")
    @classmethod
    def _usual_choices(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("method") not in attacks.NAMES:
            return values
        attack = attacks.load(values["method"])
        usual: dict[str, Any] = {}
        if attack.sets and values.get("set") is None:
            usual["set"] = attack.default_cap if attack.default_cap is not None else attack.sets[0]
        if attacks.is_targeted(attack.name) and values.get("target") is None:
            usual["target"] = DEFAULT_TARGET
        return values | usual

    @model_validator(mode="after")
    def _fits_attack(self) -> Self:
        if self.method not in attacks.NAMES:
            raise ValueError(f"'method' is {self.method!r}, expected one of {', '.join(attacks.NAMES)}")
        attack = self.attack
        attacks.check(self.choice)
        if self.scenario is not None and not self.perturbs_all:
            text = "expected none: only rows of EMN have their own"
            raise ValueError(f"'scenario' is {self.scenario!r}, {text}")
        return self._defence_fits(attack)

    def _defence_fits(self, attack: Attack) -> Self:
        if self.defence is None:
            return self
        if self.defence not in defences.NAMES:
            raise ValueError(f"'defence' is {self.defence!r}, expected one of {', '.join(defences.NAMES)}")
        if self.defence not in POISONS_ALONE:
            text = f"expected one that removes poisons alone: {', '.join(POISONS_ALONE)}"
            raise ValueError(f"'defence' is {self.defence!r}, {text}; the others are for 'defence_table'")
        seen = ("images",) if defences.load(self.defence).of_images else ("images", "features")
        if attack.makes not in seen:
            text = f"expected with attacks that make {' or '.join(seen)}"
            raise ValueError(f"'defence' is {self.defence!r}, {text}; {self.method} makes {attack.makes}")
        return self

    @property
    def attack(self) -> Attack:
        """What the attack says of itself."""
        return attacks.load(self.method)

    @property
    def perturbs_all(self) -> bool:
        """Whether the attack perturbs the whole training set, so that its budget is infinite."""
        return self.attack.makes == "noise"


class Table(Settings):
    """A table of the paper."""

    scenario: Name
    """Key of `scenarios`."""
    budgets: tuple[Budget, ...]
    """Poisoning budgets eps_d; .inf and nothing else for EMN."""
    rows: tuple[TableRow, ...]
    """Rows in order."""

    @model_validator(mode="after")
    def _budgets_fit(self) -> Self:
        for row in self.rows:
            own = row.budgets
            if own is not None and not (0 < len(own) == len(set(own) & set(self.budgets))):
                text = f"expected some of the table's {list(self.budgets)}, none twice"
                raise ValueError(f"budgets {list(own)} of a row of {row.method}, {text}")
            if any(math.isinf(budget) != row.perturbs_all for budget in self.budgets):
                raise ValueError(
                    f"budgets {list(self.budgets)} do not fit {row.method}, expected .inf for EMN and "
                    "finite ones for the others"
                )
        return self

    def budgets_of(self, row: TableRow) -> tuple[Budget, ...]:
        """The budgets at which a row is run."""
        return self.budgets if row.budgets is None else row.budgets


DefenceName = Annotated[str, Field(json_schema_extra={"enum": list(defences.NAMES)})]


class DefendedRow(TableRow):
    """An attack in the table of defences."""

    # Not strict: a list stays a list when it has passed through `_usual_choices`.
    defences: Annotated[tuple[DefenceName, ...] | None, Field(strict=False)] = None
    """Those of the table's defences that are tried on it; null: all that can see what it makes."""

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        if self.defence is not None:
            raise ValueError(f"'defence' is {self.defence!r}, expected none: the table tries 'defences'")
        if self.attack.makes not in ("features", "images"):
            raise ValueError(
                f"'method' is {self.method!r}, which makes {self.attack.makes}; expected an attack that "
                "makes features or images"
            )
        return self

    def tried(self, all_of_them: tuple[str, ...]) -> tuple[str, ...]:
        """Of the table's defences those that are tried on the attack, in order."""
        chosen = all_of_them if self.defences is None else self.defences
        return tuple(name for name in chosen if self._sees(name))

    def _sees(self, name: str) -> bool:
        return self.attack.makes == "images" or not defences.load(name).of_images


class DefenceTable(Table):
    """The table of defences: each attack at each budget, behind each defence."""

    defences: Annotated[tuple[DefenceName, ...], Field(min_length=1)]
    """Defences in order. Those that look at images are left out for attacks that make features."""
    rows: Annotated[tuple[DefendedRow, ...], Field(min_length=1)]
    """Attacks in order."""

    @model_validator(mode="after")
    def _defences_exist(self) -> Self:
        for name in self.defences:
            if name not in defences.NAMES:
                raise ValueError(
                    f"defences: {name!r} is unknown, expected one of {', '.join(defences.NAMES)}"
                )
        if len(set(self.defences)) < len(self.defences):
            raise ValueError(f"defences: {list(self.defences)}, expected none twice")
        for row in self.rows:
            for name in row.defences or ():
                if name not in self.defences or name not in row.tried(self.defences):
                    text = f"expected some of the table's that see {row.attack.makes}"
                    raise ValueError(f"defences of a row of {row.method}: {name!r}, {text}")
        return self


class PretrainingRow(Settings):
    """A row of the table of attacks on pre-training."""

    encoders: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Encoders that differ by seeds alone: each is poisoned, or made from one that is."""
    clean: Name | None = None
    """Encoder without poisons that they are compared with; null: the table's."""
    vote: bool = False
    """Whether the encoders are one victim, whose heads vote: bagging, with members that see different parts
    of the images."""


class PretrainingTable(Settings):
    """The table and the figures of attacks on pre-training."""

    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Downstream data sets, which all poisonings have targets in."""
    clean: Name
    """Encoder without poisons that rows are compared with."""
    rows: Annotated[tuple[PretrainingRow, ...], Field(min_length=1)]
    """Rows in order."""
    shown_share: Annotated[float, Field(gt=0.5, le=1)] = 0.75
    """How much of a crop has to lie in one half of a combination to show mostly that half. The expected
    number of cross pairs depends on it, and nothing else."""
    pictures: PositiveInt = 8
    """Combinations in a row of the figure that shows them."""
    picture_rows: PositiveInt = 6
    """Its rows, one target each."""


class Figures(Settings):
    """The figures: reconstructions, images, magnitudes and perturbations of poisons."""

    scenario: Name = "fine-tuning"
    """Key of `scenarios`."""
    transfer: Name | None = None
    """Key of `scenarios` that Figure 6 shows beside the first and Figure 7 alone; null: no Figure 7."""
    transfer_betas: tuple[PositiveFloat, ...] = (0.25, 0.1)
    """Values of beta for `transfer`, a row or panel each; Figure 6 shows those that `betas` has too."""
    budget: PositiveFloat = 0.03
    """eps_d shown."""
    betas: tuple[PositiveFloat, ...] = (0.25, 0.1, 0.05)
    """Values of beta, one row of images each."""
    set: Set = "free"
    """The set of the poisoned features whose inversion is shown."""
    cap: PositiveFloat | None = None
    """With `set: emittable`, its norm cap."""
    target: str = DEFAULT_TARGET
    """Target head of the poisons that are shown."""
    caps: tuple[PositiveFloat, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """The figure "frontier": norm caps of poisoned features, beside none; empty: no such figure."""
    images: PositiveInt = 10
    """Images of a row: the first poisons of the first poison seed."""
    emn: tuple[Name, ...] = ()
    """Figure 8: keys of `scenarios` whose noise against a frozen encoder is shown; none: no Figure 8."""
    examples: Name | None = None
    """Key of `scenarios` whose clean images Figure 10 shows; null: no Figure 10."""
    amplification: PositiveFloat = 12.0
    """Figure 8: factor by which the perturbations are amplified in rows of their own."""


def _sections(name: str, parts: Collection[Attack | Defence], documentation: str) -> type[Settings]:
    """Settings of attacks or defences: one field for each section that one of them names, with its
    defaults."""
    titles: dict[str, list[str]] = {}
    for part in parts:
        titles.setdefault(part.key, []).append(part.title)
    fields: dict[str, Any] = {
        part.key: (part.settings, Field(part.settings(), description=f"{'; '.join(titles[part.key])}."))
        for part in parts
    }
    return pydantic.create_model(name, __base__=Settings, __doc__=documentation, **fields)


Attacks = _sections(
    "Attacks", attacks.load_all().values(), "Settings of the attacks; some attacks share a section."
)
Defences = _sections("Defences", defences.load_all().values(), "Settings of the defences.")


class Config(Settings):
    """One YAML file: everything that a run depends on."""

    output: str
    """Folder of tables and figures."""
    gpu: bool
    """Whether rules of heavy arithmetic ask for a GPU (they run on a CPU all the same)."""
    datasets: dict[Name, Dataset]
    """Data sets by name; the name is part of every path."""
    encoders: dict[Name, EncoderEntry]
    """Encoders by name; the name is part of every path that depends on one."""
    scenarios: dict[Name, Scenario]
    """Downstream tasks, each on a frozen encoder."""
    victims: Victims = Victims()
    """How heads are trained."""
    trajectory: Trajectory = Trajectory()
    """The stages of training at which the search for reachable target heads begins."""
    longest_features: LongestFeatures = LongestFeatures()
    """The search for images with long features, of the figure "frontier"."""
    network_victims: NetworkVictims = NetworkVictims()
    """How whole networks are trained: victims of EMN's variants `original` and `end-to-end`."""
    poison_seeds: tuple[NonNegativeInt, ...] = (0, 1, 2)
    """Seeds of the poisons: which clean images they start from."""
    shards: PositiveInt = 1
    """Jobs over which one feature matching, or another attack whose images do not interact, is spread.
    Results do not depend on it. Changing it, or the program that joins the shards, runs the matching again,
    because shards are not kept."""
    feature_shards: PositiveInt = 1
    """Jobs over which one extraction of features is spread. This pays where an extraction takes long: on a
    CPU, with large images. Changing it runs everything again, to the same bits, because everything follows
    from features."""
    evaluation_shards: PositiveInt = 1
    """Jobs over which the features of one attack's 8-bit images are spread. Changing it trains the victims
    again, to the same bits."""
    emn_shards: PositiveInt = 1
    """GPUs of one job over which EMN spreads the noise steps of its images. They are GPUs of one job and not
    jobs, because the network is trained between the noise steps."""
    attacks: Attacks = Attacks()  # type: ignore[valid-type]
    """Settings of the attacks."""
    defences: Defences = Defences()  # type: ignore[valid-type]
    """Settings of the defences."""
    tables: dict[Annotated[str, Field(pattern=r"^table\d+$")], Table]
    """Tables by the paper's number."""
    defence_table: DefenceTable | None = None
    """The table of defences, `defences.csv`; null: none."""
    figures: Figures = Figures()
    """The figures."""
    partial: bool = False
    """Whether tables and claims are made of the results that are already there, for a look at a run that is
    not finished. Tables then name what is missing. Usually given on the command line: `--config
    partial=True`."""
    pretraining_table: PretrainingTable | None = None
    """The table of attacks on pre-training, `pretraining.csv`, and its figures; null: none."""

    def lineage(self, encoder: str) -> list[str]:
        """An encoder, the one that it is made from, and so on."""
        found = [encoder]
        while (before := self.encoders[found[-1]].before) is not None:
            found.append(before)
        return found

    def poisoned_by(self, encoder: str) -> str | None:
        """The encoder whose pre-training was poisoned: this one, or one that it is made from; None where
        there is none."""
        for name in self.lineage(encoder):
            if self.encoders[name].pretraining and self.poisoning_of(name):
                return name
        return None

    def poisoning_of(self, encoder: str) -> PoisoningOf | None:
        """The poisoning of an encoder's own pre-training."""
        pretraining = self.encoders[encoder].pretraining
        return pretraining.poisoning if pretraining else None

    def snapshots_of(self, encoder: str) -> tuple[int, ...]:
        """The epochs of an encoder's training that snapshots ask for."""
        entries = (entry.snapshot for entry in self.encoders.values())
        return tuple(sorted({one.epoch for one in entries if one and one.encoder == encoder}))

    def training_of(self, encoder: str) -> SimCLR:
        """The settings of the step that trains an encoder: plain ones for a plain training."""
        pretraining = self.encoders[encoder].pretraining
        assert pretraining is not None
        snapshots = self.snapshots_of(encoder)
        if pretraining.subset is None and not snapshots:
            return pretraining.simclr
        own = {name: getattr(pretraining.simclr, name) for name in SimCLR.model_fields}
        return Training(**own, subset=pretraining.subset, snapshots=snapshots)

    def settings_of(self, part: Attack | Defence) -> Settings:
        """The settings of an attack or a defence."""
        return getattr(self.attacks if isinstance(part, Attack) else self.defences, part.key)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for key, value, known in self._references():
            if value not in known:
                raise ValueError(f"{key}: {value!r} is unknown, expected one of {sorted(known)}")
        for name, kind in self._local_files():
            if name and not ((ROOT / name).is_dir() if kind == "folder" else (ROOT / name).is_file()):
                raise ValueError(
                    f"the {kind} {name} does not exist, expected a path relative to the repository"
                )
        check_pretraining(self)
        shown = self.figures
        for beta in (*shown.betas, *shown.transfer_betas):
            try:
                choice = Choice(
                    method="feature-matching", set=shown.set, cap=shown.cap, beta=beta, target=shown.target
                )
                attacks.check(choice)
            except ValueError as error:
                raise ValueError(f"figures: {error}") from None
        lists: dict[str, tuple[float, ...]] = {
            "poison_seeds": self.poison_seeds,
            "victims.seeds": self.victims.seeds,
        }
        lists["network_victims.seeds"] = self.network_victims.seeds
        lists |= {f"tables.{name}.budgets": table.budgets for name, table in self.tables.items()}
        if self.defence_table:
            lists["defence_table.budgets"] = self.defence_table.budgets
        for name, values in lists.items():
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name}: {list(values)}, expected at least one value and none twice")
        return self

    def _references(self):
        for name, scenario in self.scenarios.items():
            yield f"scenarios.{name}.dataset", scenario.dataset, self.datasets
            yield f"scenarios.{name}.encoder", scenario.encoder, self.encoders
        for name, entry in self.encoders.items():
            yield from self._references_of_encoder(f"encoders.{name}", entry)
        for name, table in self.tables.items():
            yield f"tables.{name}.scenario", table.scenario, self.scenarios
            for index, row in enumerate(table.rows):
                if row.scenario is not None:
                    yield f"tables.{name}.rows.{index}.scenario", row.scenario, self.scenarios
        if self.defence_table:
            yield "defence_table.scenario", self.defence_table.scenario, self.scenarios
        if self.tables:  # without any there are no such figures
            yield "figures.scenario", self.figures.scenario, self.scenarios
        for name in self.figures.emn:
            yield "figures.emn", name, self.scenarios
        if self.pretraining_table:
            yield from self._references_of_pretraining(self.pretraining_table)
        for key in ("transfer", "examples"):
            if name := getattr(self.figures, key):
                yield f"figures.{key}", name, self.scenarios

    def _references_of_encoder(self, key: str, entry: EncoderEntry):
        if entry.snapshot:
            yield f"{key}.snapshot.encoder", entry.snapshot.encoder, self.encoders
        if entry.pretraining:
            key = f"{key}.pretraining"
            yield f"{key}.dataset", entry.pretraining.dataset, self.datasets
            if entry.pretraining.start is not None:
                yield f"{key}.start", entry.pretraining.start, self.encoders
            if entry.pretraining.screening:
                yield f"{key}.screening.encoder", entry.pretraining.screening.encoder, self.encoders
            if poisoning := entry.pretraining.poisoning:
                for name in poisoning.settings.targets:
                    yield f"{key}.poisoning.settings.targets", name, self.datasets

    def _references_of_pretraining(self, table: PretrainingTable):
        for name in table.tasks:
            yield "pretraining_table.tasks", name, self.datasets
        yield "pretraining_table.clean", table.clean, self.encoders
        for index, row in enumerate(table.rows):
            for name in (*row.encoders, *([row.clean] if row.clean else [])):
                yield f"pretraining_table.rows.{index}", name, self.encoders

    def _local_files(self):
        for dataset in self.datasets.values():
            for source in dataset.sources:
                yield source.path, "folder" if dataset.format == "image-folder" else "file"
        for entry in self.encoders.values():
            if entry.weights:
                yield entry.weights.path, "file"


def check_pretraining(config: Config) -> None:
    """Raise ValueError, naming key, value and expectation, where encoders are made from what cannot be, or
    the table of attacks on pre-training compares what is not comparable. All names exist."""
    for name, entry in config.encoders.items():
        _check_order(config, [name])
        if entry.snapshot:
            trained = config.encoders[entry.snapshot.encoder].pretraining
            key = f"encoders.{name}.snapshot"
            if trained is None:
                raise ValueError(
                    f"{key}.encoder: {entry.snapshot.encoder!r} has no 'pretraining', expected an encoder "
                    "that is trained here"
                )
            if entry.snapshot.epoch > trained.simclr.epochs:
                raise ValueError(
                    f"{key}.epoch: {entry.snapshot.epoch}, expected at most the {trained.simclr.epochs} "
                    f"epochs of {entry.snapshot.encoder}"
                )
    if table := config.pretraining_table:
        _check_clean(config, "pretraining_table.clean", table.clean)
        for index, row in enumerate(table.rows):
            _check_row(config, table, row, f"pretraining_table.rows.{index}")


def _check_order(config: Config, path: list[str]) -> None:
    """Raises ValueError where an encoder, the last of `path`, is needed for one that it needs itself."""
    for before in config.encoders[path[-1]].needed:
        if before in path:
            circle = " needs ".join([*path[path.index(before) :], before])
            raise ValueError(f"encoders.{path[0]}: {circle}, expected an end")
        _check_order(config, [*path, before])


def _check_clean(config: Config, key: str, name: str) -> None:
    if (poisoned := config.poisoned_by(name)) is not None:
        raise ValueError(f"{key}: {name!r}, which {poisoned!r} poisons, expected an encoder without poisons")


def _check_row(config: Config, table: PretrainingTable, row: PretrainingRow, key: str) -> None:
    """Raises ValueError where the encoders of a row differ by more than seeds, or aim at other tasks."""
    if row.clean is not None:
        _check_clean(config, f"{key}.clean", row.clean)
    found = []
    for name in row.encoders:
        source = config.poisoned_by(name)
        if source is None:
            raise ValueError(f"{key}.encoders: {name!r} was not poisoned, nor was what it is made from")
        poisoning = config.poisoning_of(source)
        assert poisoning is not None
        if missing := [task for task in table.tasks if task not in poisoning.settings.targets]:
            raise ValueError(
                f"{key}.encoders: {name!r} has targets in {sorted(poisoning.settings.targets)}, expected in "
                f"{missing[0]!r} too, one of the table's tasks"
            )
        found.append(poisoning)
    seeds = [one.seed for one in found]
    if row.vote and (len(set(row.encoders)) < 2 or len(set(seeds)) > 1):
        raise ValueError(
            f"{key}.encoders: {list(row.encoders)} of poison seeds {seeds}, expected at least two encoders "
            "of one poison seed, because they vote"
        )
    if not row.vote and len(set(seeds)) < len(seeds):
        raise ValueError(f"{key}.encoders: poison seeds {seeds}, expected none twice")
    if any(one.model_copy(update={"seed": 0}) != found[0].model_copy(update={"seed": 0}) for one in found):
        raise ValueError(
            f"{key}.encoders: {list(row.encoders)}, expected poisonings that differ by seed alone"
        )


def parse(values: dict, origin: str) -> Config:
    """The validated configuration; ConfigError lists each offending key with its value and the
    expectation."""
    try:
        return Config.model_validate_json(json.dumps(values))  # JSON mode: strict types, lists for tuples
    except pydantic.ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, item['loc'])) or 'configuration'}: {item['msg']} (found "
            f"{_short(item['input'])})"
            for item in error.errors()
        ]
        raise ConfigError("\n".join([f"{origin}: the configuration does not fit", *lines])) from None


def load(path: Path) -> Config:
    """The configuration in a YAML file. Raises ConfigError, or FileNotFoundError."""
    return parse(yaml.safe_load(path.read_text()), str(path))


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def schema() -> str:
    """The JSON Schema of the YAML, each knob with its documentation."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"
