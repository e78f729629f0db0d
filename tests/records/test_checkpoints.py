"""Checkpoints: what they keep, and when they are ignored."""

import contextlib
import subprocess
import sys
from functools import partial

import pytest
import safetensors.torch
import torch
from disks import full_disk
from featpoison.common.files import NotWritten
from featpoison.records import checkpoints
from featpoison.records.checkpoints import Checkpoint, load_optimizer, optimizer_tensors, pack, unpack
from helpers import RECORD, ROOT


def test_a_checkpoint_that_finds_no_space_leaves_the_last_one(tmp_path):
    state = Checkpoint(tmp_path / "product.h5", RECORD)
    state.save({"a": torch.ones(3)}, done=7)
    with full_disk(10_000), pytest.raises(NotWritten, match=r"\.product\.h5\.state: not written"):
        state.save({"a": torch.ones(300_000)}, done=8)
    tensors, facts = state.load()
    assert (tensors["a"].tolist(), facts) == ([1, 1, 1], {"done": 7})
    assert [file.name for file in tmp_path.iterdir()] == [".product.h5.state"]


def test_a_state_that_vanishes_or_is_torn_means_a_new_start(tmp_path, encoder):
    state = Checkpoint(tmp_path / "product.h5", RECORD)
    assert state.load() is None
    state.save({"a": torch.ones(1000)}, done=7)
    content = state.path.read_bytes()
    for size in (0, 5, 100, len(content) - 1):
        state.path.write_bytes(content[:size])
        assert state.load() is None
    state.path.write_bytes(content)
    assert state.load() is not None


def test_saves_take_a_fiftieth_of_the_time(tmp_path, monkeypatch):
    now = 100.0

    def monotonic():
        return now

    def slowly_written(*_):
        nonlocal now
        now += 3

    monkeypatch.setattr(checkpoints.time, "monotonic", monotonic)
    checkpoint = Checkpoint(tmp_path / "out", RECORD)
    assert checkpoint.due()  # what a save costs is not known yet
    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "save_file", slowly_written)
        patched.setattr(checkpoints, "replacing", contextlib.nullcontext)
        checkpoint.save({"a": torch.ones(1)})
    assert not checkpoint.due()
    now += 149
    assert not checkpoint.due()
    now += 1
    assert checkpoint.due()
    checkpoint.save({"a": torch.ones(1)})  # takes no time by this clock
    assert checkpoint.due()


def test_state_of_other_settings_is_ignored(tmp_path):
    Checkpoint(tmp_path / "out", {"a": 1}).save({"x": torch.ones(2)}, done=3)
    tensors, facts = Checkpoint(tmp_path / "out", {"a": 1}).load()
    assert facts == {"done": 3}
    assert torch.equal(tensors["x"], torch.ones(2))
    assert Checkpoint(tmp_path / "out", {"a": 2}).load() is None
    (tmp_path / ".out.state").write_bytes(b"garbage")
    assert Checkpoint(tmp_path / "out", {"a": 1}).load() is None


@pytest.mark.parametrize("content", ["facts", "tensors", "nothing"])
def test_what_is_saved_comes_back(tmp_path, content):
    state = Checkpoint(tmp_path / "out", {"a": 1})
    tensors = {"a.b": torch.arange(6).view(2, 3).T, "half": torch.ones(2).bfloat16()}
    tensors = tensors if content == "tensors" else {}
    facts = {"losses": [0.1, 2.0], "name": "x"} if content == "facts" else {}
    state.save(tensors, **facts)
    found, found_facts = state.load()
    assert found_facts == facts
    assert found.keys() == tensors.keys()
    for key, value in tensors.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)
    state.remove()
    assert state.load() is None
    state.remove()


def test_groups_are_packed_and_unpacked():
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    groups = {"network": {"layer.0.weight": one, "bias": two}, "momentum": {"0": three}}
    packed = pack(**groups, empty={})
    assert packed == {"network.layer.0.weight": one, "network.bias": two, "momentum.0": three}
    assert unpack(packed) == groups
    with pytest.raises(ValueError, match=r"key 'noise', expected 'group\.name'"):
        unpack({"noise": one})


def problem():
    """Two parameters, and the gradients of some steps."""
    generator = torch.Generator().manual_seed(0)
    parameters = [torch.randn(3, 2, generator=generator), torch.randn(4, generator=generator)]
    gradients = [[torch.randn(p.shape, generator=generator) for p in parameters] for _ in range(6)]
    return [parameter.requires_grad_(True) for parameter in parameters], gradients


def advance(optimizer, parameters, gradients):
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (partial(torch.optim.SGD, lr=0.1, momentum=0.9), {"momentum_buffer"}),
        (partial(torch.optim.SGD, lr=0.1), set()),
        (partial(torch.optim.Adam, lr=0.1), {"step", "exp_avg", "exp_avg_sq"}),
    ],
    ids=["momentum", "plain", "adam"],
)
def test_an_optimiser_goes_on_as_if_nothing_had_happened(make, names, tmp_path):
    parameters, gradients = problem()
    whole = make(parameters)
    advance(whole, parameters, gradients)

    resumed, _ = problem()
    first = make(resumed)
    assert optimizer_tensors(first) == {}
    advance(first, resumed, gradients[:3])
    tensors = optimizer_tensors(first)
    assert tensors.keys() == {f"{index}.{name}" for index in (0, 1) for name in names}
    state = Checkpoint(tmp_path / "out", {})
    state.save(pack(optimizer=tensors))
    second = make(resumed)
    loaded, _ = state.load()
    load_optimizer(second, unpack(loaded).get("optimizer", {}))
    advance(second, resumed, gradients[3:])
    for ours, theirs in zip(resumed, parameters, strict=True):
        assert torch.equal(ours, theirs)


def test_step_sizes_are_no_part_of_an_optimisers_state():
    parameters, gradients = problem()
    first = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    advance(first, parameters, gradients)
    second = torch.optim.SGD(parameters, lr=0.5, momentum=0.2)
    load_optimizer(second, optimizer_tensors(first))
    assert (second.param_groups[0]["lr"], second.param_groups[0]["momentum"]) == (0.5, 0.2)


def test_importing_the_module_does_not_import_torch():
    code = "import sys, featpoison.records.checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", check=False).returncode == 0


def test_loaded_tensors_begin_where_new_ones_do(tmp_path):
    """Matrix products depend on where a tensor begins in memory, by a bit, on processors with AVX-512."""
    checkpoint = Checkpoint(tmp_path / "product", {})
    checkpoint.save({f"t{size}": torch.ones(size) for size in range(1, 20)})
    tensors, _ = checkpoint.load()
    assert [tensor.data_ptr() % 64 for tensor in tensors.values()] == [0] * 19
