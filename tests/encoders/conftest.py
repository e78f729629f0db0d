"""Images and archives that tests of encoders share."""

import warnings

import pytest
import torch
from foreign import lively
from oracles.clip_resnet import Clip, ImageEncoder


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """An archive as OpenAI's, in half precision, and the image encoder in it."""
    torch.manual_seed(0)
    model = Clip(lively(ImageEncoder())).eval()
    path = tmp_path_factory.mktemp("clip") / "RN50.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, the archive is from before
        script = torch.jit.trace(model, torch.rand(1, 3, 224, 224), check_trace=False).half()
        torch.jit.save(script, path)
    state = {key: value.clone() for key, value in script.state_dict().items()}
    # The traced module shares its parameters with the model, not its buffers.
    return (
        path,
        model.half().float().visual,
        state,
    )


@pytest.fixture
def pixels(generator):
    # 40 pixels.
    return torch.rand(4, 3, 8, 8, generator=generator).repeat_interleave(5, 2).repeat_interleave(5, 3)
