"""Attacks and defences that a program imports by name."""

import pytest
from featpoison.attacks import names as attacks
from featpoison.defences import names as defences
from featpoison.programs import chosen
from featpoison.records import provenance


def test_every_listed_name_is_found_with_its_file():
    for name in attacks.NAMES:
        file = provenance.module_file(attacks.module_of(name))
        assert chosen.load("attacks", "ATTACK", name) == (attacks.load(name), file)
    for name in defences.NAMES:
        file = provenance.module_file(defences.module_of(name))
        assert chosen.load("defences", "DEFENCE", name) == (defences.load(name), file)


@pytest.mark.parametrize(
    "name", ["none", "emn", "operations", "../attacks/gc-input", "gc-input.py", "gc_input", ""]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=r"is unknown, expected the name of a file in featpoison/attacks/"):
        chosen.load("attacks", "ATTACK", name)


def test_an_error_in_the_chosen_module_is_not_hidden(monkeypatch):
    def broken(module):
        raise AttributeError(f"{module} is broken")

    monkeypatch.setattr(chosen.importlib, "import_module", broken)
    with pytest.raises(AttributeError, match="is broken"):
        chosen.load("attacks", "ATTACK", "gc-input")
