"""The stage ablation and the transfer matrix through the real graph, on the toy copy."""

import pytest
from featpoison.results.ablation_cells import from_csv as ablation_of
from featpoison.results.transfer_cells import from_csv as matrix_of
from toy import Toy, make_toy

CELL = "data/transfers/toy/tiny/later/feature-matching_emittable2_beta0.25_reachable/eps0.2.h5"


@pytest.fixture
def toy(tmp_path) -> Toy:
    """With another encoder, an ablation of both kinds of pipelines, and a matrix."""
    toy = make_toy(tmp_path)
    simclr = {
        "architecture": {"width": 4, "stem_stride": 2},
        "epochs": 1,
        "batch_size": 16,
        "warmup_epochs": 0,
    }
    encoders = toy.config["encoders"] | {"later": {"pretraining": {"dataset": "toy", "simclr": simclr}}}
    canceled = {"method": "gc-feature", "set": 2.0, "target": "reachable"}
    matched = canceled | {"method": "feature-matching", "beta": 0.25, "set": "emittable", "cap": 2.0}
    bounded = "reachable-bounded"
    ablation = {
        "budget": 0.2,
        "pipelines": [
            {
                "full": canceled,
                "target": [{"target": "random-step"}, {"target": bounded}],
                "canceling": [{"method": "pushed-feature", "target": None}],
            },
            {
                "full": matched,
                "canceling": [{"method": "exact-feature-matching", "target": None, "pairing": "all"}],
                "inversion": [{"method": "gc-feature", "beta": None}, {"pairing": "random"}],
                "label": [{"label": "base"}],
            },
        ],
    }
    matrix = {"dataset": "toy", "encoders": ["tiny", "later"], "budget": 0.2}
    toy.configure(
        encoders=encoders,
        ablation=ablation,
        transfer_matrix=matrix | {"rows": [matched, {"method": "mislabelled-next"}]},
    )
    return toy


@pytest.mark.slow
def test_a_cell_of_the_matrix_needs_the_images_of_one_encoder_and_the_features_of_the_other(toy):
    planned = toy.planned(CELL)
    assert {
        name: planned[name] for name in ("extract_features", "pretrain_encoder", "evaluate_transfer")
    } == {
        "extract_features": 2,
        "pretrain_encoder": 1,
        "evaluate_transfer": 1,
    }
    assert (planned["poison_images"], planned["pair_features"]) == (2, 2)
    assert "evaluate_attack" not in planned
    assert "train_heads" not in planned


@pytest.mark.slow
def test_an_encoder_that_is_not_there_is_no_path(toy):
    done = toy.snakemake("--dry-run", CELL.replace("later", "never"))
    assert done.returncode != 0
    assert "MissingRuleException" in done.stdout + done.stderr


@pytest.mark.slow
def test_both_studies_are_made_audited_and_made_once(toy):
    names = ("ablation.csv", "transfer.csv")
    wanted = [
        f"figures/toy/{name}.{form}" for name in ("ablation", "worth", "transfer") for form in ("pdf", "png")
    ]
    wanted += [f"figures/toy/{name}" for name in (*names, "ablation.tex", "transfer.tex")]
    toy.run(*wanted)
    texts = [(toy.folder / "figures/toy" / name).read_text() for name in names]
    cells, matrix = ablation_of(texts[0]), matrix_of(texts[1])
    stages = [(cell.pipeline, cell.stage) for cell in cells if cell.victim == "converged"]
    assert stages == [
        (1, "full"),
        (1, "target"),
        (1, "target"),
        (1, "canceling"),
        (2, "full"),
        (2, "canceling"),
        (2, "inversion"),
        (2, "inversion"),
        (2, "label"),
    ]
    for cell in cells:
        full = next(one for one in cells if (one.pipeline, one.victim) == (cell.pipeline, cell.victim))
        if cell is not full:
            assert cell.difference == pytest.approx(cell.drop - full.drop, abs=1e-3)
            assert cell.difference_low <= cell.difference <= cell.difference_high
    assert [(cell.attacked, cell.encoder) for cell in matrix[::2]] == [
        (attacked, encoder)
        for _ in range(2)
        for attacked in ("tiny", "later")
        for encoder in dict.fromkeys(("tiny", "later"))
    ]
    assert {cell.victim for cell in matrix} == {"sgd100", "converged"}
    assert toy.planned(*wanted) == {}
    done = toy.audit(*(f"figures/toy/{name}" for name in names), "--configfile", "toy.yaml")
    assert done.returncode == 0, done.stderr
