"""What has to hold between the parts of a configuration: names, local files, and encoders in an order."""

from featpoison.attacks import names as attacks
from featpoison.attacks.choices import Choice
from featpoison.config.declared import Declared
from featpoison.config.encoders import EncoderEntry
from featpoison.config.tables import Figures, PretrainingRow, PretrainingTable, Table
from featpoison.config.taken import check_taken
from featpoison.datasets.sizes import side_of
from featpoison.encoders.architecture import WITH_MAPS
from featpoison.papers import lu2024
from featpoison.records.provenance import ROOT


def check(config: Declared) -> None:
    """Raise ValueError, naming key, value and expectation, where the parts of a configuration do not fit."""
    for key, value, known in _references(config):
        if value not in known:
            raise ValueError(f"{key}: {value!r} is unknown, expected one of {sorted(known)}")
    for key, name, kind in _local_files(config):
        if name and not ((ROOT / name).is_dir() if kind == "folder" else (ROOT / name).is_file()):
            raise ValueError(
                f"{key}: the {kind} {name} does not exist, expected a path relative to the repository"
            )
    check_pretraining(config)
    check_taken(config)
    check_sides(config)
    for name, table in config.tables.items():
        _check_paper(f"tables.{name}", int(name.removeprefix("table")), table)
    if config.figures:
        _check_figures(config.figures)
        if config.figures.growth:
            _check_growth(config.figures.growth, config.tables[config.figures.growth])
    _check_lists(config)
    _check_decoders(config)


def _check_lists(config: Declared) -> None:
    """Raises ValueError for a list without a value, or with one twice."""
    lists: dict[str, tuple[float, ...]] = {
        "poison_seeds": config.poison_seeds,
        "victims.seeds": config.victims.seeds,
        "network_victims.seeds": config.network_victims.seeds,
        **{f"tables.{name}.budgets": table.budgets for name, table in config.tables.items()},
    }
    if config.defence_table:
        lists["defence_table.budgets"] = config.defence_table.budgets
    for name, values in lists.items():
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{name}: {list(values)}, expected at least one value and none twice")


def _check_decoders(config: Declared) -> None:
    """Raises ValueError for a row or a figure that needs a decoder of an encoder that has no maps."""
    needed = {
        f"tables.{name}.rows.{index}: {row.method}": row.scenario or table.scenario
        for name, table in config.tables.items()
        for index, row in enumerate(table.rows)
        if "decoder" in row.attack.needs
    }
    if config.tables and config.figures and config.figures.reconstructions:
        needed["figures.reconstructions: Figure 4"] = config.figures.scenario
    for what, scenario in needed.items():
        encoder = config.scenarios[scenario].encoder
        architecture = config.architecture_of(encoder)
        if architecture and architecture.name not in WITH_MAPS:
            raise ValueError(
                f"{what} needs a decoder, which {encoder} ({architecture.name}) cannot have, expected one of "
                f"{', '.join(WITH_MAPS)}"
            )


def _check_figures(shown: Figures) -> None:
    """Raises ValueError where the shown poisons are of no attack that there is, or a list has a value
    twice."""
    for name in ("betas", "transfer_betas", "caps"):
        values = getattr(shown, name)
        if len(set(values)) < len(values):
            raise ValueError(f"figures.{name}: {list(values)}, expected none twice")
    for beta in (*shown.betas, *shown.transfer_betas):
        try:
            choice = Choice(
                method="feature-matching", set=shown.set, cap=shown.cap, beta=beta, target=shown.target
            )
            attacks.check(choice)
        except ValueError as error:
            raise ValueError(f"figures: {error}") from None


def _check_growth(name: str, table: Table) -> None:
    """Raises ValueError for a table at one budget, of which the figure "growth" shows nothing."""
    if len(table.budgets) < 2:
        raise ValueError(
            f"figures.growth: {name!r} has budgets {list(table.budgets)}, expected a table with at least two"
        )


def _references(config: Declared):
    for name, scenario in config.scenarios.items():
        yield f"scenarios.{name}.dataset", scenario.dataset, config.datasets
        yield f"scenarios.{name}.encoder", scenario.encoder, config.encoders
    for name, entry in config.encoders.items():
        yield from _references_of_encoder(config, f"encoders.{name}", entry)
    for name, table in config.tables.items():
        yield f"tables.{name}.scenario", table.scenario, config.scenarios
        for index, row in enumerate(table.rows):
            if row.scenario is not None:
                yield f"tables.{name}.rows.{index}.scenario", row.scenario, config.scenarios
    if config.defence_table:
        yield "defence_table.scenario", config.defence_table.scenario, config.scenarios
    yield from _references_of_studies(config)
    if config.figures:
        yield from _references_of_figures(config, config.figures)
    if config.pretraining_table:
        yield from _references_of_pretraining(config, config.pretraining_table)


def _references_of_figures(config: Declared, figures: Figures):
    if config.tables:  # without any there are no such figures
        yield "figures.scenario", figures.scenario, config.scenarios
    for name in figures.emn:
        yield "figures.emn", name, config.scenarios
    for key in ("transfer", "examples"):
        if name := getattr(figures, key):
            yield f"figures.{key}", name, config.scenarios
    if figures.growth:
        yield "figures.growth", figures.growth, config.tables


def _references_of_studies(config: Declared):
    if config.ablation:
        yield "ablation.scenario", config.ablation.scenario, config.scenarios
    if matrix := config.transfer_matrix:
        yield "transfer_matrix.dataset", matrix.dataset, config.datasets
        for key, names in (("encoders", matrix.encoders), ("attacked", matrix.sources)):
            for name in names:
                yield f"transfer_matrix.{key}", name, config.encoders


def _references_of_encoder(config: Declared, key: str, entry: EncoderEntry):
    if entry.snapshot:
        yield f"{key}.snapshot.encoder", entry.snapshot.encoder, config.encoders
    if entry.pretraining:
        key = f"{key}.pretraining"
        yield f"{key}.dataset", entry.pretraining.dataset, config.datasets
        if entry.pretraining.start is not None:
            yield f"{key}.start", entry.pretraining.start, config.encoders
        if entry.pretraining.screening:
            yield f"{key}.screening.encoder", entry.pretraining.screening.encoder, config.encoders
        if poisoning := entry.pretraining.poisoning:
            for name in poisoning.settings.targets:
                yield f"{key}.poisoning.settings.targets", name, config.datasets


def _references_of_pretraining(config: Declared, table: PretrainingTable):
    for name in table.tasks:
        yield "pretraining_table.tasks", name, config.datasets
    yield "pretraining_table.clean", table.clean, config.encoders
    for index, row in enumerate(table.rows):
        for name in (*row.encoders, *([row.clean] if row.clean else [])):
            yield f"pretraining_table.rows.{index}", name, config.encoders


def _local_files(config: Declared):
    for name, dataset in config.datasets.items():
        for source in dataset.sources:
            kind = "folder" if dataset.format == "image-folder" else "file"
            yield f"datasets.{name}", source.path, kind
    for name, entry in config.encoders.items():
        if entry.weights:
            yield f"encoders.{name}.weights.path", entry.weights.path, "file"
        yield f"encoders.{name}.targets", entry.targets, "file"


def _check_paper(key: str, number: int, table: Table) -> None:
    """Raises ValueError where the paper has no such table, or has it of another scenario."""
    if table.paper is None:
        return
    if number not in lu2024.TABLES:
        text = f"expected null: the paper has no table {number} of attacks, only {sorted(lu2024.TABLES)}"
        raise ValueError(f"{key}.paper: {table.paper!r}, {text}")
    expected = lu2024.SCENARIOS.get(number, table.scenario)
    if table.scenario != expected:
        text = f"expected {expected!r}, that of the paper's table {number}, or no 'paper'"
        raise ValueError(f"{key}.scenario: {table.scenario!r}, {text}")


def check_pretraining(config: Declared) -> None:
    """Raise ValueError, naming key, value and expectation, where encoders are made from what cannot be, or
    the table of attacks on pre-training compares what is not comparable. All names exist."""
    for name, entry in config.encoders.items():
        _check_order(config, [name])
        if entry.snapshot:
            source = config.encoders[entry.snapshot.encoder]
            trained = source.pretraining if entry.weights else source.trained_here
            key = f"encoders.{name}.snapshot"
            if trained is None:
                raise ValueError(
                    f"{key}.encoder: {entry.snapshot.encoder!r} is not trained here, expected an encoder "
                    "with 'pretraining' and no 'weights', or 'weights' beside this snapshot"
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


def check_sides(config: Declared) -> None:
    """Raise ValueError, naming the encoder and both sizes, where an encoder of the transfer matrix is for
    images of another size than those of its data set. All names exist."""
    if (matrix := config.transfer_matrix) is None:
        return
    side = side_of(config.datasets[matrix.dataset])
    for name in (*matrix.encoders, *matrix.sources):
        own = config.image_side_of(name)
        if own not in (None, side):
            raise ValueError(
                f"transfer_matrix.encoders: {name!r} is trained on images of {own} px, expected {side} px as "
                f"the images of {matrix.dataset}, or an architecture with a 'side'"
            )


def _check_order(config: Declared, path: list[str]) -> None:
    """Raises ValueError where an encoder, the last of `path`, is needed for one that it needs itself."""
    for before in config.encoders[path[-1]].needed:
        if before in path:
            circle = " needs ".join([*path[path.index(before) :], before])
            raise ValueError(f"encoders.{path[0]}: {circle}, expected an end")
        _check_order(config, [*path, before])


def _check_clean(config: Declared, key: str, name: str) -> None:
    if (poisoned := config.poisoned_by(name)) is not None:
        raise ValueError(f"{key}: {name!r}, which {poisoned!r} poisons, expected an encoder without poisons")


def _check_row(config: Declared, table: PretrainingTable, row: PretrainingRow, key: str) -> None:
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
        own = config.encoders[source].targets is None
        if missing := [task for task in table.tasks if own and task not in poisoning.settings.targets]:
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
