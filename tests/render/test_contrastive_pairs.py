"""Random views and the cosines between their features, and the training that a record tells of."""

import json

import numpy as np
import pytest
import torch
from featpoison.encoders.encoder import save_encoder
from featpoison.pretraining.augment import Augmentation
from featpoison.render.contrastive_pairs import recorded_training, two_views
from helpers import RECORD


def test_cosines_are_between_first_and_second_views(encoder, images):
    pixels, strengths = images[:6].astype(np.float32) / 255, Augmentation(jitter_probability=0.0)
    views, similarity = two_views(pixels, strengths, encoder, 0)
    assert views.shape == (2, 6, 3, 32, 32)
    assert not np.array_equal(views[0], views[1])
    again, _ = two_views(pixels, strengths, encoder, 0)
    np.testing.assert_array_equal(views, again)
    first, second = (encoder(torch.from_numpy(view)).double().numpy() for view in views)
    expected = first[2] @ second[4] / np.linalg.norm(first[2]) / np.linalg.norm(second[4])
    assert similarity[2, 4] == pytest.approx(expected, abs=1e-6)


def test_the_training_is_that_of_the_encoders_record(encoder, tmp_path):
    save_encoder(tmp_path / "none.safetensors", encoder, RECORD)
    assert recorded_training(tmp_path / "none.safetensors") == ("pre-trained", Augmentation())
    settings = {
        "epochs": 7,
        "augmentation": json.loads(Augmentation(crop_scale=(0.5, 0.9)).model_dump_json()),
    }
    own = RECORD | {"settings": settings}
    for name, record in (("own", own), ("imported", RECORD | {"origin": own})):
        save_encoder(tmp_path / f"{name}.safetensors", encoder, record)
        words, strengths = recorded_training(tmp_path / f"{name}.safetensors")
        assert "7 epochs" in words
        assert strengths.crop_scale == (0.5, 0.9)
