"""What figures need: the poisons, heads and images that they show, and the result files of these."""

import math
from collections.abc import Callable
from typing import Any

from featpoison.attacks import choices
from featpoison.attacks import names as attacks
from featpoison.attacks.choices import Choice, Set, number
from featpoison.config import Config
from featpoison.config import Figures as Asked
from featpoison.defences import names as defences
from featpoison.graph.paths import (
    CLEAN_HEADS,
    FEATURES,
    IMAGES,
    NOISE,
    POISONED_FEATURES,
    POISONS,
    VICTIMS,
)
from featpoison.graph.steps import FROZEN_NOISE, Steps, Wildcards
from featpoison.records import provenance
from featpoison.results.rows import Request, Row

FORMATS = ("pdf", "png")
FIGURES: dict[str, tuple[str, ...]] = {
    "figure1": (),
    "figure2": (),
    "figure3": (),
    "figure4": ("reconstructions",),
    "figure5": (),
    "figure6": (),
    "figure7": ("transfer",),
    "figure8": ("emn",),
    "figure9": (),
    "figure10": ("examples",),
    "reach": (),
    "frontier": ("caps",),
    "growth": ("growth",),
}
"""The figures, and the keys of `figures` that have to be set for them."""
MATCHING, INPUT_POISONS = "feature-matching", "gc-input"
"""The attacks whose poisons are shown."""


class Figures:
    """The figures of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config, self.steps = config, Steps(config)

    @property
    def asked(self) -> Asked:
        """What the configuration asks figures to show. Raises ValueError where it asks for none."""
        if self.config.figures is None:
            raise ValueError("'figures' is null, expected what figures show, because one is asked for")
        return self.config.figures

    def value_of(self, key: str) -> Callable[[Wildcards], Any]:
        """A number or names that a key of `figures` holds."""
        return lambda wildcards: getattr(self.asked, key)

    def shown_scenarios(self, wildcards: Wildcards) -> list[str]:
        """The scenarios of Figure 6."""
        figures = self.asked
        return [name for name in (figures.scenario, figures.transfer) if name]

    def _matching(self, beta: float) -> str:
        shown = self.asked
        choice = Choice(method=MATCHING, set=shown.set, cap=shown.cap, beta=beta, target=shown.target)
        return choice.segment

    def target(self, wildcards: Wildcards) -> str:
        """The target head of the shown poisons."""
        figures = self.asked
        return self.steps.target_file(figures.target, budget=number(figures.budget), **self._place)

    def _poisons(self, scenario: str, attack: str) -> str:
        """The poisons that figures show: those of the first seed at the figures' budget."""
        budget = number(self.asked.budget)
        return self.steps.of_scenario(
            POISONS, scenario, attack=attack, budget=budget, seed=self.config.poison_seeds[0]
        )

    def shown_poisons(self, wildcards: Wildcards) -> list[str]:
        """Poisons of feature matching, one file for each beta."""
        figures = self.asked
        return [self._poisons(figures.scenario, self._matching(beta)) for beta in figures.betas]

    def transfer_poisons(self, wildcards: Wildcards) -> list[str]:
        """The same in the transfer scenario, where the configuration names one."""
        figures = self.asked
        betas = figures.transfer_betas if figures.transfer else ()
        return [self._poisons(str(figures.transfer), self._matching(beta)) for beta in betas]

    @property
    def _input_attack(self) -> str:
        return Choice(method=INPUT_POISONS, set="free", target=self.asked.target).segment

    def input_poisons(self, wildcards: Wildcards) -> str:
        """Poisons of gradient canceling in input space, without constraints."""
        return self._poisons(self.asked.scenario, self._input_attack)

    def shown(self, pattern: str, **known: str) -> Callable[[Wildcards], str]:
        """A product of the figures' scenario, at their budget and of the first seed where its path has
        these."""

        def path(wildcards: Wildcards) -> str:
            figures = self.asked
            usual = {
                "budget": number(figures.budget),
                "seed": self.config.poison_seeds[0],
                "defence": defences.NONE,
            }
            return self.steps.of_scenario(pattern, figures.scenario, **(usual | known))

        return path

    def canceled_features(self, wildcards: Wildcards) -> str:
        """The poisoned features that the shown matching aims at."""
        segment = self.steps.source(choices.parse(self._matching(self.asked.betas[0])))
        assert segment is not None
        return self.shown(POISONED_FEATURES, attack=segment)(wildcards)

    def first_shown(self, wildcards: Wildcards) -> str:
        """Poisons of feature matching at the first beta."""
        return self.shown_poisons(wildcards)[0]

    def first_shown_victims(self, wildcards: Wildcards) -> str:
        """The result file of these poisons."""
        return self.shown(VICTIMS, attack=self._matching(self.asked.betas[0]))(wildcards)

    def input_victims(self, wildcards: Wildcards) -> str:
        """The result file of `input_poisons`."""
        return self.shown(VICTIMS, attack=self._input_attack)(wildcards)

    # The figures of this project: reach, frontier and growth.

    def reached_targets(self, wildcards: Wildcards) -> list[str]:
        """The target heads of the figures' scenario; of those that depend on the budget, one for each."""
        place = self._place
        free = [
            self.steps.target_file(name, **place) for name in self.steps.targets if name != "gradpc-input"
        ]
        return free + [
            self.steps.target_file(name, budget=number(budget), **place)
            for name in self.steps.targets_of_budget
            if attacks.load(name).follows is None  # not those made from another one, for comparison
            for budget in self.shown_budgets(wildcards)
        ]

    def shown_budgets(self, wildcards: Wildcards) -> list[float]:
        """The budgets of the tables of the figures' scenario."""
        tables = [one for one in self.config.tables.values() if one.scenario == self.asked.scenario]
        found = {budget for table in tables for budget in table.budgets if math.isfinite(budget)}
        return sorted(found | {self.asked.budget})

    @property
    def _place(self) -> dict[str, str]:
        """Data set and encoder of the figures' scenario."""
        scenario = self.config.scenarios[self.asked.scenario]
        return {"dataset": scenario.dataset, "encoder": scenario.encoder}

    def _frontier(self) -> list[Row]:
        """The rows of the figure: canceling towards the two reachable targets and the exact attack, at each
        norm cap and without one."""
        scenario = self.asked.scenario
        series = (("gc-feature", "reachable"), ("gc-feature", "permuted"), ("exact-feature", None))
        kept_in: tuple[Set, ...] = (*self.asked.caps, "free")
        return [
            Row(method=method, set=one, target=target, scenario=scenario)
            for method, target in series
            for one in kept_in
        ]

    def frontier(self) -> dict[str, Any]:
        """The files and the rows of the figure, as `results.samples` reads them."""
        figures, rows = self.asked, self._frontier()
        known = {"budget": number(figures.budget), "defence": defences.NONE}
        results = [
            Request(
                row=row,
                eps_d=figures.budget,
                source=self.steps.of_scenario(VICTIMS, figures.scenario, attack=row.choice.segment, **known),
                makes="features",
                title=attacks.load(row.method).title,
            ).model_dump(exclude_none=True)
            for row in rows
        ]
        shared = {"features": FEATURES, "clean": CLEAN_HEADS}
        files = {name: self.steps.of_scenario(pattern, figures.scenario) for name, pattern in shared.items()}
        return {"scenarios": {figures.scenario: files}, "results": results}

    def frontier_json(self, wildcards: Wildcards) -> str:
        """`frontier` as the program wants it."""
        return provenance.canonical_json(self.frontier())

    def frontier_files(self, wildcards: Wildcards) -> list[str]:
        """All result files of the figure's rows, and what they are compared with."""
        found = self.frontier()
        shared = [path for files in found["scenarios"].values() for path in files.values()]
        return [*shared, *(result["source"] for result in found["results"])]

    @property
    def _frontier_images(self) -> dict[str, Choice]:
        """The image attacks whose norms are shown, by name: matching at the smallest beta, and valid
        images."""
        figures = self.asked
        matching = choices.parse(self._matching(min(figures.betas)))
        valid = Choice(method=INPUT_POISONS, set="valid", target=figures.target)
        return {f"matched, beta = {min(figures.betas):g}": matching, "GC-input, valid": valid}

    def frontier_images(self, wildcards: Wildcards) -> list[str]:
        """Their result files."""
        return [self.shown(VICTIMS, attack=one.segment)(wildcards) for one in self._frontier_images.values()]

    def frontier_names(self, wildcards: Wildcards) -> list[str]:
        """Their names."""
        return list(self._frontier_images)

    def growth_numbers(self, wildcards: Wildcards) -> str:
        """The CSV of the table whose drops the figure shows by budget."""
        return f"{self.config.output}/{self.asked.growth}.csv"

    def images_of(self, key: str) -> Callable[[Wildcards], str]:
        """The images of the scenario that a key of `figures` names."""

        def path(wildcards: Wildcards) -> str:
            return self.steps.of_scenario(IMAGES, getattr(self.asked, key))

        return path

    def emn_images(self, wildcards: Wildcards) -> list[str]:
        """The images of the scenarios of Figure 8."""
        return [self.steps.of_scenario(IMAGES, name) for name in self.asked.emn]

    def shown_noise(self, wildcards: Wildcards) -> list[str]:
        """Noise of the first seed against the frozen encoder, one file for each scenario of Figure 8."""
        seed, names = self.config.poison_seeds[0], self.asked.emn
        return [self.steps.of_scenario(NOISE, name, attack=FROZEN_NOISE, seed=seed) for name in names]

    @property
    def figure_files(self) -> list[str]:
        """All forms of the figures for which the configuration says what they show."""
        chosen = [
            figure
            for figure, keys in FIGURES.items()
            if self.config.tables and self.config.figures and all(getattr(self.asked, key) for key in keys)
        ]
        return [f"{self.config.output}/{figure}.{form}" for figure in chosen for form in FORMATS]
