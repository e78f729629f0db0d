import pytest
import torch
from featpoison.common.precision import name_of, resolve

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_given_type_is_taken(device):
    assert resolve("float32", torch.device(device)) == torch.float32
    assert resolve("bfloat16", torch.device(device)) == torch.bfloat16


@pytest.mark.parametrize(("avx512", "amx"), [(False, False), (True, False), (False, True)])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, avx512, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve("auto", CPU) == (torch.bfloat16 if avx512 or amx else torch.float32)
    assert resolve("auto", torch.device("cuda")) == torch.bfloat16


def test_types_have_names():
    assert [name_of(resolve(name, CPU)) for name in ("float32", "bfloat16")] == ["float32", "bfloat16"]
