"""What defences share that transform images before the encoder sees them: of training, poisons and test
alike.

Images are taken as 8-bit files hold them, as anybody receives them.
"""

import torch

from featpoison.common.pixels import rounded_to_8bit
from featpoison.defences.defence import Defence, Defended, Defending
from featpoison.downstream.task import read_task
from featpoison.encoders.encoder import load_encoder

BATCH = 250


@torch.no_grad()
def seen_again(given: Defending, defence: Defence) -> Defended:
    """All rows, with the features of their transformed images: those of clean rows from the file
    `transformed`, those of the poisons computed here."""
    clean = read_task(given.files["transformed"])
    images, transform = given.poisons.images, defence.transform
    poisons = clean.train[:0]
    if images is not None and len(images) and transform is not None:
        encoder = load_encoder(given.files["encoder"]).to(given.device)
        parts = [
            transform(rounded_to_8bit(block.to(given.device)), encoder, given.settings).cpu()
            for block in images.split(BATCH)
        ]
        poisons = torch.cat(parts)
    return Defended(train=torch.cat([clean.train, poisons]), test=clean.test)
