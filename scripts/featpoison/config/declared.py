"""All that a configuration declares: its fields, and what follows from them."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import pydantic
from pydantic import Field, NonNegativeInt, PositiveInt

from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Attack
from featpoison.attacks.longest_features import LongestFeatures
from featpoison.common.settings import Settings
from featpoison.config.defended import DefenceTable
from featpoison.config.encoders import WITHOUT_SOURCE, EncoderEntry, Name, PoisoningOf
from featpoison.config.studies import Ablation, TransferMatrix
from featpoison.config.tables import Figures, PretrainingTable, Scenario, Table
from featpoison.datasets.sizes import side_of
from featpoison.datasets.sources import Dataset
from featpoison.defences import names as defences
from featpoison.defences.defence import Defence
from featpoison.downstream.networks import NetworkVictims
from featpoison.downstream.trajectory import Trajectory
from featpoison.downstream.victims import Victims
from featpoison.encoders.architecture import Architecture
from featpoison.pretraining.simclr import SimCLR
from featpoison.pretraining.training import Training
from featpoison.records.provenance import ROOT, canonical_json
from featpoison.records.seal import read_metadata

Folder = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
"""A folder within the repository, of names that a shell takes as they are."""


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
    return pydantic.create_model(
        name, __base__=Settings, __doc__=documentation, __cls_kwargs__=WITHOUT_SOURCE, **fields
    )


if TYPE_CHECKING:  # their fields are known when the attacks and defences have been loaded
    Attacks: TypeAlias = Any
    Defences: TypeAlias = Any
else:
    Attacks = _sections(
        "Attacks", attacks.load_all().values(), "Settings of the attacks; some attacks share a section."
    )
    Defences = _sections("Defences", defences.load_all().values(), "Settings of the defences.")


class Declared(Settings):
    """What a configuration declares, before its parts are compared with each other."""

    output: Folder
    """Folder of tables and figures, relative to the repository."""
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
    attacks: Attacks = Attacks()
    """Settings of the attacks."""
    defences: Defences = Defences()
    """Settings of the defences."""
    tables: dict[Annotated[str, Field(pattern=r"^table\d+$")], Table]
    """Tables by the paper's number. One that is null is none: a file laid over another takes it away so."""
    defence_table: DefenceTable | None = None
    """The table of defences, `defences.csv`; null: none."""
    figures: Figures | None = None
    """The figures; null: none."""
    partial: bool = False
    """Whether tables and claims are made of the results that are already there, for a look at a run that is
    not finished. Tables then name what is missing. Usually given on the command line: `--config
    partial=True`."""
    replace: bool = False
    """Whether products that another configuration made with other settings may be replaced. Given on the
    command line, for one run: `--config replace=True`."""
    pretraining_table: PretrainingTable | None = None
    """The table of attacks on pre-training, `pretraining.csv`, and its figures; null: none."""
    ablation: Ablation | None = None
    """The stage ablation, `ablation.csv`, and its figure `worth`; null: none."""
    transfer_matrix: TransferMatrix | None = None
    """The transfer matrix, `transfer.csv`, and its heat map; null: none."""

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
        entries = (None if entry.weights else entry.snapshot for entry in self.encoders.values())
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

    def architecture_of(self, encoder: str) -> Architecture | None:
        """What an encoder is, as the configuration says it or a file of this project's format that is here;
        None for files that are still elsewhere.

        Raises FileNotFoundError, or ValueError naming a file that holds no encoder.
        """
        entry = self.encoders[encoder]
        if entry.snapshot:
            entry = self.encoders[entry.snapshot.encoder]
        if entry.pretraining:
            return entry.pretraining.simclr.architecture
        if entry.architecture or entry.weights is None or entry.weights.path is None:
            return entry.architecture
        facts = read_metadata(ROOT / entry.weights.path)
        if "architecture" not in facts:
            raise ValueError(f"{entry.weights.path}: no 'architecture', expected an encoder of this project")
        return Architecture.model_validate_json(canonical_json(facts["architecture"]))

    def image_side_of(self, encoder: str) -> int | None:
        """Side in pixels of the images that an encoder was trained on here and takes as they are; None where
        it resizes images itself or comes from elsewhere, so that this is not known."""
        for name in self.lineage(encoder):
            if pretraining := self.encoders[name].pretraining:
                resized = pretraining.simclr.architecture.side is not None
                return None if resized else side_of(self.datasets[pretraining.dataset])
        return None

    def settings_of(self, part: Attack | Defence) -> Settings:
        """The settings of an attack or a defence."""
        return getattr(self.attacks if isinstance(part, Attack) else self.defences, part.key)
