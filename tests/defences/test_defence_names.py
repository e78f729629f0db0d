"""What the defences say of themselves."""

from pathlib import Path
from typing import get_args

import pytest
from featpoison.common.settings import Settings
from featpoison.defences import names
from featpoison.defences.defence import Defence, Need
from featpoison.records.provenance import module_file

ALL = names.load_all()


@pytest.mark.parametrize("name", names.NAMES)
def test_a_defence_is_named_as_its_file(name):
    defence = names.load(name)
    assert isinstance(defence, Defence)
    assert defence.name == name
    path = module_file(names.module_of(name))
    assert path.is_file()
    assert path.stem.replace("_", "-") == name
    assert issubclass(defence.settings, Settings)
    assert isinstance(defence.settings(), Settings)
    assert set(defence.needs) <= set(get_args(Need))
    assert defence.key == path.stem
    assert path.read_text().startswith('"""')  # says where it is from


def test_every_file_with_a_defence_is_listed():
    folder = Path(module_file("featpoison.defences.names")).parent
    with_defence = {
        path.stem.replace("_", "-") for path in folder.glob("*.py") if "\nDEFENCE = " in path.read_text()
    }
    assert with_defence == set(names.NAMES)


def test_names_and_titles_are_unique_and_none_of_them_is_no_defence():
    assert len({defence.title for defence in ALL.values()}) == len(set(names.NAMES)) == len(names.NAMES)
    assert names.NONE not in names.NAMES


@pytest.mark.parametrize("name", ["none", "", "magnitude_filter", "Magnitude-filter"])
def test_an_unknown_defence_is_named(name):
    with pytest.raises(ValueError, match=f"defence '{name}' is unknown, expected one of magnitude-filter"):
        names.load(name)
