"""What the stage ablation needs: its rows with their places, and the result files that these come from."""

from typing import Any

from featpoison.config import Ablation, Config, TableRow
from featpoison.graph.tables import SHARED, Tables
from featpoison.records import provenance
from featpoison.results.ablation_cells import FULL
from featpoison.results.rows import Request

Wildcards = Any
FORMATS = {"ablation": ("csv", "tex", "pdf", "png"), "worth": ("pdf", "png")}
"""What there is of the table and of the figure."""


class Ablations:
    """The stage ablation of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config, self.tables = config, Tables(config)

    @property
    def files(self) -> list[str]:
        """All forms of the table and of the figure; none without an ablation."""
        if self.config.ablation is None:
            return []
        output = self.config.output
        return [f"{output}/{name}.{form}" for name, forms in FORMATS.items() for form in forms]

    @property
    def _declared(self) -> Ablation:
        if self.config.ablation is None:
            raise ValueError("ablation is null, expected the one that is asked for")
        return self.config.ablation

    def requests(self) -> list[tuple[int, str, Request]]:
        """Pipeline, stage and result file of each row, the full pipeline first."""
        declared = self._declared

        def asked(row: TableRow) -> Request:
            return self.tables.cell(row, declared.scenario, declared.budget)

        return [
            (number, stage, asked(row))
            for number, pipeline in enumerate(declared.pipelines, 1)
            for stage, row in ((FULL, pipeline.full), *pipeline.rows)
        ]

    def shared(self) -> dict[str, str]:
        """The files that all rows share, by name."""
        steps, scenario = self.tables.steps, self._declared.scenario
        return {name: steps.of_scenario(pattern, scenario) for name, pattern in SHARED.items()}

    def rows_json(self, wildcards: Wildcards) -> str:
        """The rows as the program wants them."""
        rows = [
            {
                "place": {"pipeline": number, "stage": stage},
                "result": request.model_dump(exclude_none=True),
            }
            for number, stage, request in self.requests()
        ]
        return provenance.canonical_json(
            {"scenarios": {self._declared.scenario: self.shared()}, "rows": rows}
        )

    def row_files(self, wildcards: Wildcards) -> list[str]:
        """All files that the numbers come from."""
        sources = {request.source for _, _, request in self.requests()}
        return sorted(sources | set(self.shared().values()))
