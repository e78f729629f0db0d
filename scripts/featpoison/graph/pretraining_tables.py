"""What the table and the figures of attacks on pre-training need: rows with what tells them apart, and the
measures that their numbers come from."""

from featpoison.attacks import pretraining_names
from featpoison.attacks.choices import number
from featpoison.config import Config, PoisoningOf, Pretraining, PretrainingRow, PretrainingTable
from featpoison.graph.paths import FEATURES, IMAGES, TARGET_MEASURES
from featpoison.graph.steps import Steps, Wildcards
from featpoison.records import provenance
from featpoison.results.target_cells import TargetRow

FORMATS = {
    "pretraining": ("csv", "tex", "pdf", "png"),
    "success": ("pdf", "png"),
    "combinations": ("pdf", "png"),
    "neighbours": ("pdf", "png"),
    "statements": ("md",),
}
"""What there is of the table and of each figure."""


class PretrainingTables:
    """The table of attacks on pre-training of one configuration, with its figures."""

    def __init__(self, config: Config) -> None:
        self.config, self.steps = config, Steps(config)

    @property
    def files(self) -> list[str]:
        """All forms of the table and of the figures; none without a table. One row has nothing to be compared
        with along an axis, and targets without poisons have no combinations to show."""
        if self.config.pretraining_table is None:
            return []
        output = self.config.output
        left_out = {"success": len(self._table.rows) == 1, "combinations": not self._has_poisons}
        shown = {name: forms for name, forms in FORMATS.items() if not left_out.get(name)}
        return [f"{output}/{name}.{form}" for name, forms in shown.items() for form in forms]

    @property
    def _table(self) -> PretrainingTable:
        table = self.config.pretraining_table
        if table is None:
            raise ValueError("pretraining_table is null, expected the table that is asked for")
        return table

    def rows(self) -> list[TargetRow]:
        """The rows of the table, one for each task."""
        return [self._row(row, task) for row in self._table.rows for task in self._table.tasks]

    def _row(self, row: PretrainingRow, task: str) -> TargetRow:
        sources = [self._source(name) for name in row.encoders]
        poisoning = self._poisoning(sources[0])
        seen = self.steps.exposure(row.encoders[0])
        crops = seen.augmentation.crop_scale
        return TargetRow(
            attack=self._title(poisoning),
            defence=self._defence(row),
            task=task,
            rate=poisoning.rate,
            references=poisoning.settings.references,
            epochs=seen.epochs,
            smallest_crop=crops[0] if crops else None,
            tuning_images=sum(tuning.subset.images for tuning in self._tunings(row) if tuning.subset),
            tuning_epochs=sum(tuning.simclr.epochs for tuning in self._tunings(row)),
            loss="Barlow Twins" if self._pretraining(sources[0]).simclr.barlow_twins else "NT-Xent",
            plain=self._plain(row),
            clean_encoder=row.clean or self._table.clean,
            vote=row.vote,
            measures=tuple(
                self._measures(task, name, source) for name, source in zip(row.encoders, sources, strict=True)
            ),
            clean=tuple(
                self._measures(task, row.clean or self._table.clean, source)
                for source in (sources[:1] if row.vote else sources)
            ),
        )

    def _plain(self, row: PretrainingRow) -> bool:
        """Whether nothing was done to the encoders beyond a poisoned training, its early end, and one
        fine-tuning on so many images."""
        pretraining = self._pretraining(self._source(row.encoders[0]))
        tunings = self._tunings(row)
        return not (
            row.vote
            or pretraining.screening
            or pretraining.subset
            or pretraining.simclr.barlow_twins
            or len(tunings) > 1
            or any(tuning.subset is None for tuning in tunings)
        )

    def _tunings(self, row: PretrainingRow) -> list[Pretraining]:
        """The trainings between the poisoned one and the encoder of the row, the last one first."""
        name = row.encoders[0]
        lineage = self.config.lineage(name)
        later = (self.config.encoders[one] for one in lineage[: lineage.index(self._source(name))])
        return [entry.pretraining for entry in later if entry.pretraining]

    def _pretraining(self, encoder: str) -> Pretraining:
        pretraining = self.config.encoders[encoder].pretraining
        assert pretraining is not None
        return pretraining

    def _source(self, encoder: str) -> str:
        """The encoder that was poisoned, where this one is or comes from one."""
        source = self.config.poisoned_by(encoder)
        assert source is not None
        return source

    def _poisoning(self, encoder: str) -> PoisoningOf:
        poisoning = self.config.poisoning_of(encoder)
        assert poisoning is not None
        return poisoning

    def _measures(self, task: str, encoder: str, poisoned: str) -> str:
        return TARGET_MEASURES.format(dataset=task, encoder=encoder, poisoned=poisoned)

    def _title(self, poisoning: PoisoningOf) -> str:
        """The attack, with the settings that are not the usual ones and that change what an image shows."""
        attack = pretraining_names.load(poisoning.attack)
        usual = attack.settings().model_dump(exclude={"targets", "references"})
        own = poisoning.settings.model_dump(include=set(usual))
        remarks = [f"{name} {own[name]}" for name in usual if own[name] != usual[name]]
        return attack.title + (f" ({', '.join(remarks)})" if remarks else "")

    def _defence(self, row: PretrainingRow) -> str:
        """How the pre-training differs from the table's clean one, and what came after it, in words."""
        config, name = self.config, row.encoders[0]
        source = self._source(name)
        lineage = config.lineage(name)
        words = [self._screening(source), self._loss(source), self._crops(source)]
        words += [self._bagging(row, source)] if row.vote else []
        for later in reversed(lineage[: lineage.index(source)]):
            entry = config.encoders[later]
            if entry.snapshot:
                trained = self._pretraining(entry.snapshot.encoder)
                words.append(f"stopped after {entry.snapshot.epoch} of {trained.simclr.epochs} epochs")
            elif entry.pretraining:
                own, part = entry.pretraining, entry.pretraining.subset
                images = f"{part.images} images" if part else "all images"
                words.append(f"fine-tuned on {images} of {own.dataset}, {own.simclr.epochs} epochs")
        return ", ".join(word for word in words if word)

    def _screening(self, source: str) -> str:
        screening = self._pretraining(source).screening
        return f"the densest {100 * screening.share:g} % left out" if screening else ""

    def _loss(self, source: str) -> str:
        return "loss of Barlow Twins" if self._pretraining(source).simclr.barlow_twins else ""

    def _crops(self, source: str) -> str:
        """Crops other than those of the table's clean encoder, where that is trained here."""
        clean = self.config.encoders[self._table.clean].pretraining
        own = self._pretraining(source).simclr.augmentation.crop_scale
        if clean and own == clean.simclr.augmentation.crop_scale:
            return ""
        return "crops of {} to {}".format(*map(number, own)) if own else "no crops"

    def _bagging(self, row: PretrainingRow, source: str) -> str:
        subset = self._pretraining(source).subset
        part = f" on {subset.images} images each" if subset else ""
        return f"bagging, {len(row.encoders)} encoders{part}"

    def rows_json(self, wildcards: Wildcards) -> str:
        """`rows` as the program wants them."""
        return provenance.canonical_json([row.model_dump() for row in self.rows()])

    def measure_files(self, wildcards: Wildcards) -> list[str]:
        """All files that the table's numbers come from."""
        return sorted({path for row in self.rows() for path in (*row.measures, *row.clean)})

    # The figures with combinations and with neighbours: those of the first encoder of the first row.

    @property
    def _shown(self) -> str:
        return self._source(self._table.rows[0].encoders[0])

    @property
    def _has_poisons(self) -> bool:
        """Whether the poisons of the first encoder are here, and not only its targets."""
        return self.config.encoders[self._shown].targets is None

    def shown_poisons(self, wildcards: Wildcards) -> str:
        """The poisons that the figure shows."""
        return self.steps.poisons_of(self._shown)

    def shown_images(self, wildcards: Wildcards) -> list[str]:
        """The images of the downstream tasks that they aim at."""
        names = sorted(self._poisoning(self._shown).settings.targets)
        return [IMAGES.format(dataset=name) for name in names]

    def shown_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the figure's program beside the poisons."""
        names = sorted(self._poisoning(self._shown).settings.targets)
        named = [f"{name}={IMAGES.format(dataset=name)}" for name in names]
        count, rows = self._table.pictures, self._table.picture_rows
        return ["--count", str(count), "--rows", str(rows), "--downstream", *named]

    def neighbour_files(self, wildcards: Wildcards) -> dict[str, str]:
        """What the figure with neighbours reads, by the names of its program's arguments: images of the first
        task with the targets, its features under the clean and the poisoned encoder, and the measures of the
        targets on both."""
        task, row = self._table.tasks[0], self._table.rows[0]
        before, after = row.clean or self._table.clean, row.encoders[0]
        files = {
            "images": IMAGES.format(dataset=task),
            "before": FEATURES.format(dataset=task, encoder=before),
            "after": FEATURES.format(dataset=task, encoder=after),
            "measures-before": self._measures(task, before, self._shown),
            "measures-after": self._measures(task, after, self._shown),
        }
        targets = self.config.encoders[self._shown].targets
        return files | ({"targets": targets} if targets else {})

    def neighbour_options(self, wildcards: Wildcards) -> list[str]:
        """The arguments of the figure's program."""
        named = [
            part for name, path in self.neighbour_files(wildcards).items() for part in (f"--{name}", path)
        ]
        count, rows = self._table.pictures, self._table.picture_rows
        return [*named, "--count", str(count), "--rows", str(rows)]
