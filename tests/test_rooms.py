"""The library's rooms: who may import whom.

A room is a package of scripts/featpoison, or one of the few modules at its root. Each imports only from rooms
before it in `ORDER`, and no modules import each other in a circle. Imports are read from the syntax trees,
those inside functions too.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "scripts/featpoison"
ORDER = (
    "common",
    "records",
    "store",
    "softmax",
    "datasets",
    "solvers",
    "heads",
    "encoders",
    "pretraining",
    "downstream",
    "defences",
    "attacks",
    "results",
    "papers",
    "render",
    "programs",
    "config",
    "graph",
    "costs",
    "audit",
)
AT_THE_ROOT = {"store", "softmax", "heads"}
Imports = Mapping[str, Iterable[str]]
"""By module, such as attacks.names: the modules of the library that it imports."""


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package by their names within it, without `__init__.py`."""
    paths = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(package).with_suffix("").parts): path for path in paths}


def imported(source: str, module: str, known: Iterable[str]) -> set[str]:
    """The modules among `known` that a module with this source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = ["featpoison", *module.split(".")]
            start = [*parts[: len(parts) - node.level]] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in known if f"featpoison.{name}" in found}


def imports_of(package: Path) -> dict[str, set[str]]:
    """The imports of all modules of a package."""
    found = modules(package)
    return {name: imported(path.read_text(), name, found) for name, path in found.items()}


def against_order(imports: Imports, order: tuple[str, ...]) -> list[str]:
    """The imports from a room that comes later, each with its two modules; and modules of no room."""
    place = {room: number for number, room in enumerate(order)}
    homeless = [f"{module} is in no room" for module in imports if module.split(".")[0] not in place]
    back = [
        f"{module} imports {other}"
        for module, others in imports.items()
        for other in others
        if place.get(module.split(".")[0], len(order)) < place.get(other.split(".")[0], 0)
    ]
    return sorted(homeless + back)


def circle(imports: Imports) -> list[str]:
    """Modules that import each other in a circle, from one of them back to itself; empty where none do."""
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in imports.get(module, ()):
            if found := follow(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in imports if (found := follow(module, []))), [])


@pytest.fixture(scope="module")
def library() -> dict[str, set[str]]:
    return imports_of(PACKAGE)


def test_every_import_goes_to_an_earlier_room(library):
    assert against_order(library, ORDER) == []


def test_no_modules_import_each_other_in_a_circle(library):
    assert circle(library) == []


def test_packages_import_nothing_by_themselves():
    """All but the configuration, which no program imports, so that its names cost no step anything."""
    for path in set(PACKAGE.rglob("__init__.py")) - {PACKAGE / "config/__init__.py"}:
        tree = ast.parse(path.read_text())
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)], path


def test_the_rooms_are_those_of_the_order(library):
    at_the_root = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert at_the_root == AT_THE_ROOT
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages | at_the_root == set(ORDER)
    assert {module.split(".")[0] for module in library} == set(ORDER)


def test_the_library_is_read_whole(library):
    """The checks above would pass for a reader that sees no imports."""
    assert len(library) > 100
    assert sum(map(len, library.values())) > 300
    assert "records.provenance" in library["store"]
    assert "audit.recompute" not in library["audit.lineage"]


def test_imports_of_all_forms_are_seen():
    known = ("store", "common.files", "attacks.names", "attacks.emn")
    for text in (
        "import featpoison.common.files",
        "from featpoison.common import files",
        "from featpoison.common.files import replacing as other",
        "def f():\n    import featpoison.common.files as files",
        "if True:\n    from featpoison.common import files",
        "from ..common import files",
        "from ..common.files import replacing",
    ):
        assert imported(text, "attacks.one", known) == {"common.files"}, text
    assert imported("from . import names, emn", "attacks.one", known) == {"attacks.names", "attacks.emn"}
    assert imported("from featpoison import store", "attacks.one", known) == {"store"}
    assert (
        imported("import torch\nfrom store import x\n# import featpoison.store", "attacks.one", known)
        == set()
    )


def test_an_arrow_back_is_named():
    order = ("common", "store", "attacks")
    forward = {
        "common.files": [],
        "store": ["common.files"],
        "attacks.a": ["store", "attacks.b"],
        "attacks.b": [],
    }
    assert against_order(forward, order) == []
    back = forward | {"common.files": ["attacks.b"], "store": ["common.files", "attacks.a"]}
    assert against_order(back, order) == ["common.files imports attacks.b", "store imports attacks.a"]
    assert against_order({"garage": ["store"], "store": []}, order) == ["garage is in no room"]


def test_a_circle_is_found_and_shown():
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["a"]}) == ["a", "a"]
    assert circle({"x": [], "a": ["b", "c"], "b": [], "c": ["d"], "d": ["a"]}) == ["a", "c", "d", "a"]
