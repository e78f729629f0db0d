"""Encoders by name import no more than they need."""

import subprocess
import sys

import pytest
from helpers import ROOT


@pytest.mark.slow
def test_cifar_encoders_import_no_model_library():
    code = (
        "import sys; from featpoison.encoders.architecture import Architecture; "
        "from featpoison.encoders.encoder import Encoder; import featpoison.encoders.conversion; "
        "Encoder(Architecture(width=4)); "
        "sys.exit('timm' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", check=False).returncode == 0
