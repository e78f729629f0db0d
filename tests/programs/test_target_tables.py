"""Programs from measures of targets on: table, statements, neighbours, and a cell computed again."""

import csv
import json
import shutil

import pytest
from featpoison.audit import recompute, recompute_targets, target_cell_names
from featpoison.audit.cell_names import CellNameError
from featpoison.audit.lineage import read_record
from featpoison.records import provenance
from PIL import Image
from target_rows import target_row

EXPOSURE = json.dumps({"epochs": 3, "augmentation": {}, "subset": None, "share": 0.75})
ENCODERS = ("clean", "poisoned", "screened")


@pytest.fixture
def tree(files, execute, tmp_path, monkeypatch):
    """Folders as a run has them, with one encoder under three names, and the measures of each on four
    targets."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    data = tmp_path / "data"
    images, poisons = data / "images/letters.h5", data / "pretraining_poisons/poisoned/p.h5"
    left = data / "screened/screened"
    for folder in (images.parent, poisons.parent, left):
        folder.mkdir(parents=True)
    for copied in (images, left / "images.h5"):
        shutil.copy(files["images"], copied)
    wanted = json.dumps({"targets": {"letters": 4}, "references": 3})
    execute(
        *("poison_pretraining", "--attack", "poisoned-encoder", "--images", images, "--settings", wanted),
        *("--downstream", f"letters={images}", "--rate", 0.5, "--seed", 1, "--", poisons),
    )
    shutil.copy(poisons, left / "poisons.h5")
    seen = {"poisoned": (images, poisons), "screened": (left / "images.h5", left / "poisons.h5")}
    settings = json.dumps({"seeds": [0, 1], "sgd100": {"epochs": 10, "batch_size": 16}})
    for name in ENCODERS:
        features, heads = data / f"features/letters/{name}.h5", data / f"heads/letters/{name}/clean.h5"
        measures = data / f"target_measures/letters/{name}/poisoned.h5"
        for path in (features, heads, measures):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files["features"], features)
        execute("train_heads", "--features", features, "--settings", settings, heads)
        given = ["--poisons", poisons, "--task", "letters", "--features", features, "--heads", heads]
        if name in seen:
            given += ["--exposure", EXPOSURE, "--seen-images", seen[name][0], "--seen-poisons", seen[name][1]]
        execute("measure_targets", *given, measures)
    return tmp_path


@pytest.fixture
def table(tree, execute):
    """The CSV of the poisoned and the screened encoder, and its rows as JSON."""

    def measures(name):
        return (str(tree / f"data/target_measures/letters/{name}/poisoned.h5"),)

    rows = [
        target_row(measures=measures("poisoned"), clean=measures("clean")),
        target_row(measures=measures("screened"), clean=measures("clean"), defence="no crops", plain=False),
    ]
    text = json.dumps([row.model_dump() for row in rows])
    execute("collect_pretraining", "--rows", text, tree / "pretraining.csv")
    return tree / "pretraining.csv", text


def test_a_cell_is_computed_again_and_an_edit_is_found(table):
    lines = target_cell_names.lines_of(table[0])
    for name, count in (("poisoned", 2), ("screened,converged", 1), ("poisoned,letters,sgd100", 1)):
        found = target_cell_names.find(lines, name)
        assert len(found) == count
        for line, again in zip(found, recompute_targets.recompute(found), strict=True):
            compared = recompute.differences(line, again)
            assert {column for column, *_ in compared} == line.keys()
            assert all(agrees for *_, agrees in compared)
            assert set(again.origins) <= line.keys()
    edited = [lines[0] | {"cosine": "0.123456", "success_low": "1.5"}]
    (again,) = recompute_targets.recompute(edited)
    wrong = [column for column, _, _, agrees in recompute.differences(edited[0], again) if not agrees]
    assert wrong == ["success_low", "cosine"]


@pytest.mark.parametrize("name", ["nobody", "poisoned,numbers", "clean"])
def test_a_name_of_no_cell_says_what_is_expected(table, name):
    with pytest.raises(CellNameError, match=r"expected ENCODER\[,TASK\]\[,VICTIM\].* poisoned, screened"):
        target_cell_names.find(target_cell_names.lines_of(table[0]), name)


def test_the_clean_measures_of_voting_encoders_are_the_first_ones():
    line = {"source": "m/t/a/p.h5 m/t/b/q.h5", "task": "t", "clean_encoder": "c", "vote": "False"}
    first, second = (f"data/target_measures/t/c/{name}.h5" for name in "pq")
    assert target_cell_names.clean_of(line) == [first, second]
    assert target_cell_names.clean_of(line | {"vote": "True"}) == [first]


def test_other_tables_are_none_of_targets(tmp_path):
    (tmp_path / "a.csv").write_text("method,source\ngc-input,a.h5\n")
    assert target_cell_names.lines_of(tmp_path / "a.csv") == []
    (tmp_path / "b.csv").write_bytes(b"\xff\x00")
    assert target_cell_names.lines_of(tmp_path / "b.csv") == []


def test_statements_are_judged_from_table_and_measures(table, execute, tree, tmp_path):
    path, rows = table
    execute("judge_statements", "--rows", rows, "--numbers", path, tmp_path / "statements.md")
    text = (tmp_path / "statements.md").read_text()
    with open(path, newline="") as file:
        (line, *_) = list(csv.DictReader(file))
    assert f"| {float(line['accuracy']):.1f} | {float(line['clean_accuracy']):.1f} |" in text
    assert "| PoisonedEncoder, 1 % > `clean` | letters | 4 | 0.0 [" in text  # one encoder under two names
    inputs = read_record(tmp_path / "statements.md")["inputs"]
    assert set(inputs) == {
        "pretraining.csv",
        *(f"data/target_measures/letters/{name}/poisoned.h5" for name in ENCODERS),
    }
    lines = path.read_text().splitlines(keepends=True)
    (tmp_path / "short.csv").write_text("".join(lines[:3]))
    with pytest.raises(SystemExit, match=r"short.csv: no row of .*screened/poisoned.h5, expected one"):
        execute("judge_statements", "--rows", rows, "--numbers", tmp_path / "short.csv", tmp_path / "x.md")


def test_neighbours_are_drawn(tree, execute):
    data = tree / "data"
    given = ["--images", data / "images/letters.h5"]
    for name, encoder in (("before", "clean"), ("after", "poisoned")):
        given += [f"--{name}", data / f"features/letters/{encoder}.h5"]
        given += [f"--measures-{name}", data / f"target_measures/letters/{encoder}/poisoned.h5"]
    picture = tree / "neighbours.png"
    execute("plot_neighbours", *given, "--count", 3, "--rows", 2, "--", picture)
    assert min(Image.open(picture).size) > 200
    assert len(read_record(picture)["inputs"]) == 5
    with pytest.raises(SystemExit, match="'count' is 10000"):
        execute("plot_neighbours", *given, "--count", 10**4, "--", tree / "none.png")
    assert not (tree / "none.png").exists()


def test_a_cell_of_targets_in_a_file_is_computed_again(tree, files, execute):
    """Both encoders on the targets of a file, which are those of the poisoning set."""
    data = tree / "data"
    images, targets = data / "images/letters.h5", tree / "targets.h5"
    (data / "encoders").mkdir()
    given = ["--pretraining-images", images, "--task", "letters", "--images", images]
    execute("embed_targets", "--poisons", data / "pretraining_poisons/poisoned/p.h5", *given, targets)
    exposure = json.dumps(json.loads(EXPOSURE) | {"epochs": 5})
    for name in ("clean", "poisoned"):
        encoder = data / f"encoders/{name}.safetensors"
        shutil.copy(files["encoder"], encoder)
        given = ["--targets", targets, "--task", "letters", "--images", images, "--encoder", encoder]
        given += ["--features", data / f"features/letters/{name}.h5"]
        given += ["--heads", data / f"heads/letters/{name}/clean.h5"]
        seen = ["--exposure", exposure] if name == "poisoned" else []
        execute("measure_targets", *given, *seen, data / f"target_measures/letters/{name}/elsewhere.h5")
    paths = [(str(data / f"target_measures/letters/{name}/elsewhere.h5"),) for name in ("poisoned", "clean")]
    row = target_row(measures=paths[0], clean=paths[1])
    execute("collect_pretraining", "--rows", json.dumps([row.model_dump()]), tree / "elsewhere.csv")
    lines = target_cell_names.lines_of(tree / "elsewhere.csv")
    assert len(lines) == 2
    for line, again in zip(lines, recompute_targets.recompute(lines), strict=True):
        assert all(agrees for *_, agrees in recompute.differences(line, again))
    shown = ["--images", images, "--targets", targets, "--count", 3, "--rows", 2]
    for name, encoder in (("before", "clean"), ("after", "poisoned")):
        shown += [f"--{name}", data / f"features/letters/{encoder}.h5"]
        shown += [f"--measures-{name}", data / f"target_measures/letters/{encoder}/elsewhere.h5"]
    execute("plot_neighbours", *shown, "--", tree / "neighbours.png")
    assert "targets.h5" in read_record(tree / "neighbours.png")["inputs"]
