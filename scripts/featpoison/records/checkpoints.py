"""Resumable state of long work: tensors and JSON in a safetensors file beside the product, bound to what is being computed.

Snakemake deletes a rule's outputs before it runs the rule, so state never lives in an output. A state that belongs to other inputs,
settings or code is ignored: the binding is the digest of the product's provenance record.
"""

import json
import logging
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from featpoison.common.files import replacing
from featpoison.records.provenance import Record, canonical_json, sha256_bytes

log = logging.getLogger(__name__)


class Checkpoint:
    """The state file of one product."""

    def __init__(self, output: Path, record: Record) -> None:
        """State for `output`, whose provenance will be `record`."""
        self.path = output.with_name(f".{output.name}.state")
        self.binding = sha256_bytes(canonical_json(record).encode())

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """Tensors and facts of the last `save`, or None where there is nothing to resume from."""
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("binding") != self.binding:
                    log.info("%s: belongs to other inputs, settings or code; starting anew", self.path)
                    return None
                names = file.keys()  # safetensors files iterate only so
                return {key: file.get_tensor(key) for key in names}, json.loads(metadata["facts"])
        except FileNotFoundError:
            return None
        except SafetensorError as error:
            log.warning("%s: unreadable (%s); starting anew", self.path, error)
            return None

    def save(self, tensors: dict[str, Tensor], **facts: object) -> None:
        """Replace the state, atomically."""
        content = save({key: value.contiguous().cpu() for key, value in tensors.items()}, {"binding": self.binding, "facts": canonical_json(facts)})
        with replacing(self.path) as temporary:
            temporary.write_bytes(content)

    def remove(self) -> None:
        """The product is finished."""
        self.path.unlink(missing_ok=True)
