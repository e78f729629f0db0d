"""TorchScript archives, read without executing them."""

import torch
from featpoison.encoders.torchscript import is_torchscript, read_torchscript


def test_torchscript_is_read_to_the_last_bit(clip, tmp_path):
    path, _, expected = clip
    assert is_torchscript(path)
    found = read_torchscript(path)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value), key
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    assert not is_torchscript(tmp_path / "plain.pt")
