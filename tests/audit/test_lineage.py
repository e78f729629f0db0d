import ast
import base64
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from featpoison import store
from featpoison.audit.digests import Digests
from featpoison.audit.lineage import AuditError, document, read_record, trace, tree
from featpoison.audit.snakemake_metadata import job_of
from featpoison.records import provenance, seal
from helpers import RECORD, ROOT
from PIL import Image
from safetensors.numpy import save

URL = "https://example.org/files/images.tar.gz"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty repository."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "data/downloads").mkdir(parents=True)
    return tmp_path


def downloaded(root, *, verified, digest, **settings):
    """A product that was made from a download."""
    record = RECORD | {
        "settings": {"archive": {"url": URL}} | settings,
        "download": {"archive": digest, "verified": verified},
    }
    store.write(root / "data/images/some.h5", {"labels": np.arange(5)}, record)
    return root / "data/images/some.h5"


def states(lineage):
    return {node.path: node.status for node in lineage.nodes.values()}


# Downloads


def test_a_download_that_nobody_vouches_for_is_listed_and_is_no_failure(root):
    archive = root / "data/downloads/images.tar.gz"
    archive.write_bytes(b"archive")
    product = downloaded(root, verified=False, digest=provenance.sha256_file(archive))
    found = trace([product], Digests())
    assert states(found) == {"data/images/some.h5": "ok", "data/downloads/images.tar.gz": "unverified"}
    assert (
        [node.path for node in found.unverified]
        == json.loads(document(found))["unverified"]
        == ["data/downloads/images.tar.gz"]
    )
    assert any("UNVERIFIED, trusted on first use" in line and URL in line for line in tree(found))
    archive.unlink()
    assert [node.path for node in trace([product], Digests()).unverified] == ["data/downloads/images.tar.gz"]


def test_a_download_that_changed_is_tampered_and_one_that_is_gone_is_no_failure(root):
    archive = root / "data/downloads/images.tar.gz"
    product = downloaded(root, verified=True, digest=provenance.sha256_bytes(b"archive"))
    assert states(trace([product], Digests()))["data/downloads/images.tar.gz"] == "absent"
    archive.write_bytes(b"archive")
    assert states(trace([product], Digests()))["data/downloads/images.tar.gz"] == "ok"
    archive.write_bytes(b"another")
    found = trace([product], Digests())
    assert states(found) == {"data/images/some.h5": "ok", "data/downloads/images.tar.gz": "tampered"}
    assert (
        found.nodes["data/downloads/images.tar.gz"]
        .problems[0]
        .startswith("data/downloads/images.tar.gz: sha256 is ")
    )


def test_a_folder_of_pictures_is_held_against_its_digest(root):
    from featpoison.datasets import image_folder

    picture = root / "mine/train/cat/1.png"
    picture.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture)
    digest = image_folder.check(root / "mine", None)
    product = downloaded(root, verified=False, digest=digest, format="image-folder", archive={"path": "mine"})
    assert states(trace([product], Digests()))["mine"] == "unverified"
    Image.fromarray(np.ones((4, 4, 3), np.uint8)).save(picture)
    assert states(trace([product], Digests()))["mine"] == "tampered"


# Seals


def sealed_products(root):
    """One small product of each form."""
    text = root / "figures/table.csv"
    text.parent.mkdir(exist_ok=True)
    text.write_text("a,b\n1,2\n")
    provenance.write_sidecar(text, RECORD)
    whole = root / "data/heads/a.h5"
    store.write(whole, {"omega": np.arange(6.0)}, RECORD, classes=["a"])
    tensors = root / "data/encoders/e.safetensors"
    tensors.parent.mkdir(exist_ok=True)
    metadata = {
        "provenance": provenance.canonical_json(provenance.of_product(RECORD, tensors)),
        "architecture": "{}",
    }
    tensors.write_bytes(seal.sealed(save({"w": np.arange(3.0)}, metadata)))
    return {text: text, provenance.sidecar(text): text, whole: whole, tensors: tensors}


def test_every_byte_of_every_form_is_sealed(root):
    for file, product in sealed_products(root).items():
        content = file.read_bytes()
        assert read_record(product)["product"] == provenance.relative(product)
        places = (
            range(len(content))
            if len(content) < 3000
            else sorted({*range(0, 600, 3), *range(600, len(content), 31)})
        )
        for place in places:
            changed = bytearray(content)
            changed[place] ^= 1 << (place % 8)
            file.write_bytes(changed)
            with pytest.raises(AuditError):
                read_record(product)
        for other in (content[:-1], content + b"\0", b""):
            file.write_bytes(other)
            with pytest.raises(AuditError):
                read_record(product)
        file.write_bytes(content)
        read_record(product)


def test_products_in_each_others_places_are_told_apart(root):
    one, other = root / "data/heads/1.h5", root / "data/heads/2.h5"
    for path in (one, other):
        store.write(path, {"omega": np.arange(6.0)}, RECORD)
    one.rename(root / "away")
    other.rename(one)
    found = trace([one], Digests())
    assert found.nodes["data/heads/1.h5"].problems == [
        "data/heads/1.h5: was made as data/heads/2.h5 and lies in another's place"
    ]
    (root / "away").rename(other)
    assert [node.path for node in trace([one, other], Digests()).having("tampered")] == [
        "data/heads/1.h5",
        "data/heads/2.h5",
    ]


def test_a_damaged_record_accuses_nobody_else(root):
    source = root / "data/embedded/a"
    source.parent.mkdir()
    source.write_bytes(b"a")
    product = root / "data/heads/a.h5"
    store.write(
        product,
        {"omega": np.arange(6.0)},
        RECORD | {"inputs": {"data/embedded/a": provenance.sha256_file(source)}},
    )
    content = bytearray(product.read_bytes())
    content[bytes(content).index(provenance.sha256_file(source).encode())] ^= 1
    product.write_bytes(content)
    found = trace([product], Digests())
    assert states(found) == {"data/heads/a.h5": "tampered"}


# The memory of digests


def settled(path, content=b"content"):
    """A file that has not been written just now, as far as the digests can tell."""
    path.write_bytes(content)
    return path.relative_to(provenance.ROOT).as_posix()


def test_digests_are_remembered_until_a_file_changes(root, monkeypatch):
    name = settled(root / "data/a")
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 10**10)
    first = Digests()
    before = first.of([name, "data/none"])
    assert before == {name: provenance.sha256_bytes(b"content"), "data/none": None}
    first.save()
    again = Digests()
    assert again.of([name]) == {name: before[name]}
    assert not again.read
    assert Digests(full=True).of([name]) == {name: before[name]}
    times = os.stat(root / name)
    (root / name).write_bytes(b"CONTENT")
    os.utime(root / name, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time of the status change tells
    assert Digests().of([name]) == {name: provenance.sha256_bytes(b"CONTENT")}


def test_what_was_written_just_now_is_not_remembered(root):
    name = settled(root / "data/a")
    digests = Digests()
    digests.of([name])
    digests.save()
    assert not (root / "data/.audit.json").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 3}', b"\xff", b'{"data/a": [1, 2, 3]}'])
def test_a_damaged_memory_is_no_memory(root, content):
    name = settled(root / "data/a")
    (root / "data/.audit.json").write_bytes(content)
    assert Digests().of([name]) == {name: provenance.sha256_bytes(b"content")}


# Jobs and imports


def test_a_job_without_records_is_unknown_and_long_names_are_found(root):
    name = f"data/{'very-' * 60}long/product.h5"
    assert job_of(root, name).start is None
    text = base64.urlsafe_b64encode(name.encode()).decode()
    place = root / ".snakemake/metadata" / f"@{text[:254]}" / text[254:]
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"rule": "r", "starttime": 0.2, "endtime": 61.7, "log": ["logs/p/x.log"]}))
    (root / "benchmarks/p").mkdir(parents=True)
    benchmark = root / "benchmarks/p/x.jsonl"
    benchmark.write_text('{"s": 61.5, "cpu_time": null, "max_rss": 12}\n')
    job = job_of(root, name)
    assert (job.rule, job.start, job.end) == ("r", "1970-01-01T00:00:00+00:00", "1970-01-01T00:01:01+00:00")
    assert job.usage == {"s": 61.5, "max_rss": 12.0}
    assert job.log is None
    os.utime(benchmark, (0.1, 0.1))  # before the job began: of an earlier one
    assert job_of(root, name).usage == {}


def test_the_audit_imports_neither_torch_nor_scipy():
    command = "import runpy, sys; sys.argv = ['audit.py', 'data/published/published_results.csv']\n"
    command += "try: runpy.run_path('scripts/audit.py', run_name='__main__')\n"
    command += "except SystemExit as end: print([end.code, sorted(sys.modules)])"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": "scripts"},
    )
    code, modules = ast.literal_eval(done.stdout.splitlines()[-1])
    assert code == 0
    assert {"h5py", "numpy"} <= set(modules)
    assert not {"torch", "scipy", "matplotlib"} & set(modules)
