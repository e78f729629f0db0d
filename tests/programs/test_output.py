"""Files that people look at: they appear with their record, or not at all."""

import pytest
from featpoison.programs.output import write, write_text
from featpoison.records.provenance import read_sidecar, sha256_file
from helpers import RECORD


def test_every_form_appears_with_a_record_of_its_bytes(tmp_path):
    paths = [tmp_path / "figure.pdf", tmp_path / "new/figure.png"]
    made = []

    def make(path):
        made.append(path.suffix)
        path.write_text(f"a picture in {path.suffix}")

    write(paths, RECORD, make)
    assert made == [".pdf", ".png"]  # what draws goes by the ending
    for path in paths:
        assert path.read_text() == f"a picture in {path.suffix}"
        record = read_sidecar(path)
        assert record["sha256"] == sha256_file(path)
        assert {key: record[key] for key in RECORD} == RECORD
        assert sorted(one.name for one in path.parent.iterdir() if one.is_file()) == [
            path.name,
            f"{path.name}.provenance.json",
        ]


def test_what_fails_leaves_the_earlier_file_and_record(tmp_path):
    write_text(tmp_path / "claims.md", RECORD, "before")
    before = read_sidecar(tmp_path / "claims.md")

    def fail(path):
        path.write_text("half")
        raise RuntimeError("out of ink")

    with pytest.raises(RuntimeError, match="out of ink"):
        write([tmp_path / "claims.md"], RECORD, fail)
    assert (tmp_path / "claims.md").read_text() == "before"
    assert read_sidecar(tmp_path / "claims.md") == before
    assert len(list(tmp_path.iterdir())) == 2
