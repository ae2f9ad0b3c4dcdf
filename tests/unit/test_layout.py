"""The layout is the architecture: imports point downward only. Read from the source, so that it cannot rot."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpuspawner

PACKAGE = Path(gpuspawner.__file__).parent
MODULES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
LEAVES = {"quantity", "strategic_merge", "cel", "devices"}
# Downward: each pure room may import those before it.
PURE = [
    "quantity",
    "limits.trace",
    "errors",
    "ending",
    "strategic_merge",
    "cel",
    "devices",
    "schema",
    "sessions.idle",
    "membership.roles",
    "membership.roster",
    "membership.rules",
    "membership.notices",
    "names",
    "storage",
    "pod_patch",
    "catalog",
    "limits.usage",
    "limits.limits",
    "limits.cohort",
    "workspace",
    "settings",
    "settings_notices",
    "config",
    "budgets.pricing",
    "budgets.period",
    "budgets.history",
    "budgets.accounts",
    "request",
    "limits.checks",
    "budgets.payment",
    "budgets.estimate",
    "limits.class_checks",
    "budgets.quote",
    "budgets.purse",
    "admission",
    "remedies",
    "ledger.records",
    "budgets.granting",
    "ledger.holds",
    "server",
    "labels",
    "sessions.lease",
    "companions",
    "placement",
    "permissions",
    "device_claim",
    "pod",
    "entitlement",
    "limits.offers",
    "limits.explain",
    "limits.replay",
    "reports.days",
    "reports.causes",
    "reports.spreadsheet",
    "reports.balances",
    "reports.standing",
    "reports.catalog",
    "reports.audit",
    "reports.configuration",
    "reports.effective_limits",
    "values.document",
    "values.together",
    "values.patches",
    "values.misplaced",
    "values.derive",
]
# What a pure room may import from outside: no I/O, no hub, no cluster.
PURE_IMPORTS = {
    "collections", "contextlib", "dataclasses", "datetime", "decimal", "difflib", "fnmatch", "hashlib", "itertools",
    "json", "re", "typing", "zoneinfo", "copy", "math", "functools", "enum", "operator", "bisect", "string",
    "types", "uuid", "pydantic", "pydantic_core", "csv", "io", "heapq", "base64", "binascii",
}  # fmt: skip
JUPYTERHUB = {"jupyterhub", "oauthenticator", "nativeauthenticator", "traitlets"}
KUBERNETES = {"kubernetes", "kubernetes_asyncio"}


def imports(name: str) -> Iterator[str]:
    """Everything a module imports, wherever in it, in full: ``gpuspawner.pod``, ``collections.abc``."""
    path = MODULES[name]
    package = ["gpuspawner", *path.relative_to(PACKAGE).parts[:-1]]
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            parents = package[: len(package) - statement.level + 1] if statement.level else []
            source = ".".join([*parents, *([statement.module] if statement.module else [])])
            yield source
            if source in ("gpuspawner", "gpuspawner.local", "gpuspawner.cluster"):
                yield from (f"{source}.{alias.name}" for alias in statement.names)


def outside(name: str) -> set[str]:
    return {found.partition(".")[0] for found in imports(name)} - {"gpuspawner"}


def rooms(name: str) -> set[str]:
    """The rooms of gpuspawner that a module imports from, its own left out."""
    found = {one.split(".")[1] for one in imports(name) if one.startswith("gpuspawner.")}
    return found - {name.partition(".")[0]}


def modules(name: str) -> set[str]:
    """The modules of gpuspawner that a module imports from."""
    named = {f"gpuspawner.{one}" for one in MODULES}
    return {one if one in named else one.rpartition(".")[0] for one in imports(name) if one.startswith("gpuspawner.")}


def inside(room: str) -> list[str]:
    return [name for name in MODULES if name.partition(".")[0] == room]


@pytest.mark.parametrize("name", PURE)
def test_a_pure_room_imports_only_what_is_below_it_and_does_no_io(name: str) -> None:
    below = PURE[: PURE.index(name)]
    assert modules(name) <= {f"gpuspawner.{one}" for one in below}
    configuration = {"traitlets"} if name == "config" else set()
    assert outside(name) <= PURE_IMPORTS | configuration


@pytest.mark.parametrize("name", inside("cluster"))
def test_the_cluster_knows_no_jupyterhub(name: str) -> None:
    assert not outside(name) & JUPYTERHUB
    assert not rooms(name) & {"spawner", "traits", "authenticator", "launcher", "web", "cli", "local"}


@pytest.mark.parametrize("name", inside("activity"))
def test_what_is_known_of_use_knows_no_jupyterhub(name: str) -> None:
    assert not outside(name) & (JUPYTERHUB | KUBERNETES)
    assert not rooms(name) & {"spawner", "traits", "authenticator", "launcher", "web", "cli", "local", "notebook"}


@pytest.mark.parametrize("name", inside("notebook"))
def test_the_extension_of_notebook_servers_needs_nothing_that_images_do_not_have(name: str) -> None:
    assert not rooms(name)
    assert outside(name) <= sys.stdlib_module_names | {"tornado", "pynvml", "jupyter_server"}


@pytest.mark.parametrize("name", inside("ledger"))
def test_the_ledger_knows_neither_jupyterhub_nor_the_cluster(name: str) -> None:
    assert not outside(name) & (JUPYTERHUB | KUBERNETES)
    assert rooms(name) <= {one.partition(".")[0] for one in PURE}


@pytest.mark.parametrize("name", inside("bookkeeping"))
def test_the_bookkeeping_knows_no_jupyterhub(name: str) -> None:
    assert not outside(name) & (JUPYTERHUB | KUBERNETES)
    assert rooms(name) <= {*(one.partition(".")[0] for one in PURE), "ledger", "cluster"}


@pytest.mark.parametrize("name", inside("reports"))
def test_a_report_knows_neither_jupyterhub_nor_pages(name: str) -> None:
    assert not outside(name) & (JUPYTERHUB | KUBERNETES)
    assert not rooms(name) & {"spawner", "traits", "authenticator", "launcher", "web", "cli", "local"}


@pytest.mark.parametrize("name", inside("migration"))
def test_a_configuration_is_translated_from_the_values_alone(name: str) -> None:
    assert rooms(name) <= {one.partition(".")[0] for one in PURE}
    assert outside(name) <= PURE_IMPORTS | {"html", "textwrap", "unicodedata"}


@pytest.mark.parametrize("name", inside("logins"))
def test_a_way_of_logging_in_knows_nothing_of_workspaces(name: str) -> None:
    assert rooms(name) <= {"errors"}
    assert not outside(name) & KUBERNETES


@pytest.mark.parametrize("name", inside("local"))
def test_the_embedded_engine_imports_no_other_room(name: str) -> None:
    assert rooms(name) <= LEAVES
    assert not outside(name) & (JUPYTERHUB | KUBERNETES)


@pytest.mark.parametrize("name", [name for name in MODULES if name.partition(".")[0] not in ("cli", "local")])
def test_nothing_but_the_command_line_imports_the_embedded_engine(name: str) -> None:
    assert not rooms(name) & {"local", "cli"}


@pytest.mark.parametrize("name", [*inside("web"), *inside("cli")])
def test_pages_and_command_line_know_no_kubernetes(name: str) -> None:
    assert not outside(name) & KUBERNETES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_one_line_what_lives_there(name: str) -> None:
    documentation = ast.get_docstring(ast.parse(MODULES[name].read_text()))
    assert documentation, f"{name} has no docstring"
    first, *more = documentation.splitlines()
    assert first.endswith((".", ":", "?", "!")), first
    assert not more or not more[0]


def test_the_modules_are_found() -> None:
    assert {"pod", "cluster.view", "local.apiserver.store", "cli.__init__"} <= set(MODULES)
    assert "gpuspawner.admission" in set(imports("pod"))
