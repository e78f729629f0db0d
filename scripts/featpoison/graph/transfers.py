"""What the transfer matrix needs: victims on every encoder, of poisons that were made against every other."""

from collections.abc import Callable
from typing import Any

from featpoison.attacks.choices import number
from featpoison.config import Config, TransferMatrix
from featpoison.defences import names as defences
from featpoison.graph.paths import ENCODER, FEATURES, TRANSFERS, VICTIMS
from featpoison.graph.steps import Wildcards
from featpoison.graph.tables import SHARED, Tables
from featpoison.records import provenance
from featpoison.results.rows import Request

FORMS = ("csv", "tex", "pdf", "png")


class Transfers:
    """The transfer matrix of one configuration."""

    def __init__(self, config: Config) -> None:
        self.config, self.tables = config, Tables(config)

    @property
    def files(self) -> list[str]:
        """All forms of the matrix; none without one."""
        if self.config.transfer_matrix is None:
            return []
        return [f"{self.config.output}/transfer.{form}" for form in FORMS]

    @property
    def _declared(self) -> TransferMatrix:
        if self.config.transfer_matrix is None:
            raise ValueError("transfer_matrix is null, expected the one that is asked for")
        return self.config.transfer_matrix

    def requests(self) -> list[tuple[str, Request]]:
        """The attacked encoder and the result of each cell, attack by attack and row by row; where both
        encoders are the same, the result is that of the attack's own victims."""
        matrix, found = self._declared, []
        for row in matrix.rows:
            for attacked in matrix.sources:
                for onto in dict.fromkeys((*matrix.encoders, attacked)):
                    known = {"dataset": matrix.dataset, "encoder": attacked, "attack": row.choice.segment}
                    known |= {"budget": number(matrix.budget)}
                    white = VICTIMS.format(defence=defences.NONE, **known)
                    source = white if onto == attacked else TRANSFERS.format(onto=onto, **known)
                    found.append((attacked, self.tables.request_from(row, onto, matrix.budget, source)))
        return found

    def results(self) -> dict[str, Any]:
        """The cells as the program wants them; their scenario is the encoder of the victims."""
        requests, dataset = self.requests(), self._declared.dataset
        scenarios = {
            str(request.row.scenario): {
                name: pattern.format(dataset=dataset, encoder=request.row.scenario)
                for name, pattern in SHARED.items()
            }
            for _, request in requests
        }
        return {
            "attacked": [attacked for attacked, _ in requests],
            "scenarios": scenarios,
            "results": [request.model_dump(exclude_none=True) for _, request in requests],
        }

    def results_json(self, wildcards: Wildcards) -> str:
        """`results` as a text."""
        return provenance.canonical_json(self.results())

    def result_files(self, wildcards: Wildcards) -> list[str]:
        """All files that the numbers come from."""
        found = self.results()
        shared = {path for files in found["scenarios"].values() for path in files.values()}
        return sorted(shared | {result["source"] for result in found["results"]})

    def of_victims(self, pattern: str) -> Callable[[Wildcards], str]:
        """A product of the encoder that the victims of a path are on."""
        return lambda wildcards: pattern.format(dataset=wildcards.dataset, encoder=wildcards.onto)

    @property
    def features(self) -> Callable[[Wildcards], str]:
        """The feature cache of the victims' encoder."""
        return self.of_victims(FEATURES)

    @property
    def encoder(self) -> Callable[[Wildcards], str]:
        """The victims' encoder."""
        return self.of_victims(ENCODER)
