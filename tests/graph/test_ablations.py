"""What the stage ablation and the transfer matrix ask for."""

import json
from types import SimpleNamespace

import pytest
import yaml
from featpoison import config
from featpoison.config.studies import REPLACEABLE
from featpoison.graph.ablations import Ablations
from featpoison.graph.figures import Figures
from featpoison.graph.paths import wildcards_of
from featpoison.graph.tables import Tables
from featpoison.graph.transfers import Transfers
from helpers import ROOT

HERE = "cifar10-5k/embedded-simclr-cifar10"
OWN = "data/victims/cifar10-5k/embedded-simclr-tiny-imagenet"


@pytest.fixture(scope="module")
def demo() -> config.Config:
    return config.load(ROOT / "workflow/config/demo.yaml")


@pytest.fixture(scope="module")
def values() -> dict:
    return yaml.safe_load((ROOT / "workflow/config/demo.yaml").read_text())


def test_a_pipeline_comes_first_and_differs_from_its_rows_in_one_stage(demo):
    found = Ablations(demo).requests()
    for number, pipeline in enumerate(demo.ablation.pipelines, 1):
        own = [(stage, request) for place, stage, request in found if place == number]
        assert [stage for stage, _ in own].count("full") == 1
        assert own[0][1].row.choice == pipeline.full.choice
        full = own[0][1].row.model_dump()
        for stage, request in own[1:]:
            changed = {name for name, value in request.row.model_dump().items() if value != full[name]}
            assert changed
            assert changed <= REPLACEABLE[stage], request.source


def test_most_of_the_demos_rows_are_results_of_tables_and_figures_anyway(demo):
    shown = {request.source for table in demo.tables for request in Tables(demo).declared(table)}
    shown |= {result["source"] for result in Figures(demo).frontier()["results"]}
    asked = [request.source for _, _, request in Ablations(demo).requests()]
    assert len(set(asked)) == len(asked)
    assert len(shown & set(asked)) > 2 * len(set(asked) - shown)


def test_the_rows_are_told_with_the_files_that_they_share(demo):
    ablations = Ablations(demo)
    told = json.loads(ablations.rows_json(SimpleNamespace()))
    shared = {"features": f"data/features/{HERE}.h5", "clean": f"data/heads/{HERE}/clean.h5"}
    assert told["scenarios"] == {"fine-tuning": shared}
    first = told["rows"][0]
    assert first["place"] == {"pipeline": 1, "stage": "full"}
    assert (
        first["result"]["source"] == f"data/victims/{HERE}/gc-feature_cap4_reachable-bounded/none/eps0.03.h5"
    )
    sources = {row["result"]["source"] for row in told["rows"]}
    assert set(ablations.row_files(SimpleNamespace())) == sources | set(shared.values())


def test_images_are_seen_by_every_encoder_and_at_home_by_their_own_victims(demo):
    found = Transfers(demo).requests()
    matrix = demo.transfer_matrix
    assert len(found) == len(matrix.rows) * len(matrix.attacked) * len(matrix.encoders)
    for attacked, request in found:
        known = wildcards_of(request.source)
        assert (known["encoder"], known["attack"]) == (attacked, request.row.choice.segment)
        assert known.get("onto", attacked) == request.row.scenario
        assert ("onto" in known) == (attacked != request.row.scenario)
    assert len({request.source for _, request in found}) == len(found)
    told = json.loads(Transfers(demo).results_json(SimpleNamespace()))
    assert told["scenarios"].keys() == set(matrix.encoders)
    assert told["scenarios"]["continued-simclr-cifar10"]["clean"].endswith(
        "cifar10-5k/continued-simclr-cifar10/clean.h5"
    )
    files = Transfers(demo).result_files(SimpleNamespace())
    assert len(files) == len(found) + 2 * len(matrix.encoders)


def test_an_attacked_encoder_outside_the_matrix_is_there_for_the_white_box_drop(values):
    encoders = ["embedded-simclr-cifar10", "continued-simclr-cifar10"]
    own = values["transfer_matrix"] | {"encoders": encoders, "attacked": ["embedded-simclr-tiny-imagenet"]}
    found = Transfers(config.parse(values | {"transfer_matrix": own}, "demo.yaml")).requests()
    assert [request.row.scenario for _, request in found[:3]] == [*encoders, "embedded-simclr-tiny-imagenet"]
    assert found[2][1].source.startswith(OWN)


def test_without_a_declaration_there_are_no_files(values):
    bare = config.parse(values | {"ablation": None, "transfer_matrix": None}, "demo.yaml")
    assert Ablations(bare).files == Transfers(bare).files == []
    for text in (Ablations(bare).rows_json, Transfers(bare).results_json):
        with pytest.raises(ValueError, match="is null, expected the one that is asked for"):
            text(SimpleNamespace())


def test_victims_of_another_encoder_read_its_features_and_weights(demo):
    asked = SimpleNamespace(dataset="cifar10-5k", encoder="a", onto="b", attack="x", budget="0.03")
    transfers = Transfers(demo)
    assert transfers.features(asked) == "data/features/cifar10-5k/b.h5"
    assert transfers.encoder(asked) == "data/encoders/b.safetensors"
