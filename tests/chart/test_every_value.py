"""Every value of the chart means something: one that changes nothing is one that a template has forgotten."""

import copy
import json
import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from helm_python import HelmError
from jsonschema_rs import Draft7Validator
from rendering import CHART
from variants import SCHEMA, VARIANTS, chart_without_schema, values_of

ROOT = Path(__file__).parents[2]
MATRIX = "tests/data/chart/matrix.yaml"
OF_AN_UPGRADE = ("prePuller.hook.pullOnlyOnChanges",)
"""Values that mean something only where a release is installed already; tests with a cluster see to them."""
_SECRET_VALUES = re.compile("secret-values.json: .*")
_NO_CHECKSUM = re.compile("(?m)^(?! *checksum/).+")
Keys = tuple[str, ...]


@pytest.fixture(scope="module")
def tool() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield runpy.run_path(str(ROOT / "tools" / "values_schema.py"))


def test_every_value_is_set_by_a_variant_and_means_something(tool: dict[str, Any]) -> None:
    defaults = {tuple(path.split(".")): default for path, default in tool["leaves"]() if path not in OF_AN_UPGRADE}
    using = {
        keys: [variant for variant in VARIANTS if _at(values_of(variant), keys, default) != default]
        for keys, default in defaults.items()
    }
    seen = {keys for variant in VARIANTS for keys in _seen(variant, [keys for keys in using if variant in using[keys]])}
    missing = [
        f"{'.'.join(keys)} ({', '.join(variants) or 'set by none'})"
        for keys, variants in using.items()
        if keys not in seen and not any(_matters(variant, keys) for variant in variants)
    ]
    assert not missing, f"set them in a variant of {MATRIX}, or read them in a template: {', '.join(missing)}"


def _seen(variant: str, leaves: list[Keys]) -> Iterator[Keys]:
    """Of some values those that appear in what is rendered: each is made one of its own kind first."""
    values = copy.deepcopy(values_of(variant))
    marks: dict[Keys, str] = {}
    for number, keys in enumerate(leaves):
        for mark in (f"mark{number}x", 20000 + number):
            tried = copy.deepcopy(values)
            if _marked(_at(tried, keys[:-1], None), keys[-1], mark) and _schema().is_valid(tried):
                values, marks[keys] = tried, str(mark)
                break
    try:
        text = "\n".join(line for lines in _lasting(values).values() for line in lines)
    except HelmError:
        return
    yield from (keys for keys, mark in marks.items() if re.search(rf"(?<![0-9]){mark}(?![0-9])", text))


def _marked(inside: Any, key: Any, mark: Any) -> bool:
    """Put the mark in place of a text or number, or of the first one within."""
    value = inside[key]
    if isinstance(value, str | int) and not isinstance(value, bool):
        inside[key] = mark
        return True
    items = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return any(_marked(value, inner, mark) for inner in items)


def _matters(variant: str, keys: Keys) -> bool:
    """Whether a variant renders otherwise without what it says at a path."""
    values = copy.deepcopy(values_of(variant))
    del _at(values, keys[:-1], None)[keys[-1]]
    try:
        return _lasting(values) != _lasting(values_of(variant))
    except HelmError:
        return True


def _lasting(values: dict[str, Any]) -> dict[str, list[str]]:
    """The lines of all that is not made anew each time: the secrets, and the sums of them that restart pods."""
    return _lasting_lines(json.dumps(values, sort_keys=True))


@cache
def _lasting_lines(values: str) -> dict[str, list[str]]:
    files = chart_without_schema().render(json.loads(values), name="gpuspawner", namespace="jupyter")
    return {
        path: (_SECRET_VALUES if path.endswith("hub/secret.yaml") else _NO_CHECKSUM).findall(text)
        for path, text in files.items()
    }


@cache
def _schema() -> Draft7Validator:
    return Draft7Validator(json.loads((CHART / SCHEMA).read_text(encoding="utf-8")))


def _at(values: Any, keys: Keys, default: Any) -> Any:
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return default
        values = values[key]
    return values
