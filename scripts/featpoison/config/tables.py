"""What is shown, as the YAML says it: scenarios, tables with their rows, figures."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from featpoison.attacks import names as attacks
from featpoison.attacks.attack import Attack
from featpoison.attacks.choices import DEFAULT_TARGET, Pairing, Set
from featpoison.common.settings import Settings
from featpoison.config.encoders import Name, exact
from featpoison.defences import names as defences
from featpoison.results.rows import Row

POISONS_ALONE = [name for name, one in defences.load_all().items() if one.poisons_alone]
"""The defences that rows of ordinary tables can have."""
MOST = 100.0  # poisons for each clean row


def _possible(value: float) -> float:
    """Raise ValueError for a budget that is finite and beyond all use."""
    if MOST < value < math.inf:
        raise ValueError(
            f"{value:g}, expected at most {MOST:g} poisons for each clean image, or .inf for EMN"
        )
    return value


Exact = Annotated[PositiveFloat, AfterValidator(exact)]
"""A number that is part of paths."""
Budget = Annotated[float, Field(gt=0, allow_inf_nan=True), AfterValidator(exact), AfterValidator(_possible)]


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
    cap: Exact | None = None
    """With `set: emittable`, the largest norm of a poisoned feature in units of the mean clean norm."""
    beta: Exact | None = None
    """Feature matching of any kind: weight of staying close to the base image."""
    pairing: Pairing | None = None
    """Feature matching, where it is not what the attack does anyway: `within-class` looks for the nearest
    base image only among those of the poison's label, so that labels look right; `all` among all images;
    `random` takes any image by chance. Null: the attack's own way; of feature-matching that is among all."""
    label: Literal["base"] | None = None
    """Feature matching whose base images have any label: `base` gives each poison the label of its base
    image, for which the poisoned feature was not made; null: the label of the poisoned feature."""
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
        if isinstance(self.set, float):
            exact(self.set)
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
    """A table of attacks."""

    scenario: Name
    """Key of `scenarios`."""
    paper: Literal["lu2024"] | None = None
    """The publication whose table of the same number is printed beside this one, and whose claims are judged;
    null: none. The scenario is then that of the paper's table, on data and an encoder that fit it."""
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

    @model_validator(mode="after")
    def _no_row_twice(self) -> Self:
        seen: dict[tuple[TableRow, Budget], int] = {}
        for index, row in enumerate(self.rows):
            for budget in self.budgets_of(row):
                key = (row.model_copy(update={"budgets": None}), budget)
                if (first := seen.setdefault(key, index)) != index:
                    text = f"is that of row {first}, expected no row twice at one budget"
                    raise ValueError(f"row {index} ({row.method}) at budget {budget:g} {text}")
        return self

    def budgets_of(self, row: TableRow) -> tuple[Budget, ...]:
        """The budgets at which a row is run."""
        return self.budgets if row.budgets is None else row.budgets


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
    transfer_betas: tuple[Exact, ...] = (0.25, 0.1)
    """Values of beta for `transfer`, a row or panel each; Figure 6 shows those that `betas` has too."""
    budget: Exact = 0.03
    """eps_d shown."""
    betas: tuple[Exact, ...] = (0.25, 0.1, 0.05)
    """Values of beta, one row of images each."""
    set: Set = "free"
    """The set of the poisoned features whose inversion is shown."""
    cap: Exact | None = None
    """With `set: emittable`, its norm cap."""
    target: str = DEFAULT_TARGET
    """Target head of the poisons that are shown."""
    caps: tuple[Exact, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """The figure "frontier": norm caps of poisoned features, beside none; empty: no such figure."""
    growth: Name | None = None
    """Key of `tables`: the figure "growth" shows the drops of this table against the budget; null: no such
    figure."""
    reconstructions: bool = True
    """Figure 4, which needs an encoder with maps; false: no such figure."""
    images: PositiveInt = 10
    """Images of a row: the first poisons of the first poison seed."""
    emn: tuple[Name, ...] = ()
    """Figure 8: keys of `scenarios` whose noise against a frozen encoder is shown; none: no Figure 8."""
    examples: Name | None = None
    """Key of `scenarios` whose clean images Figure 10 shows; null: no Figure 10."""
    amplification: PositiveFloat = 12.0
    """Figure 8: factor by which the perturbations are amplified in rows of their own."""
