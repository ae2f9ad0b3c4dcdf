"""Whatever text somebody puts into values, it stays a text: no template is run and no object is made by it."""

import copy
import json
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from helm_python import HelmError
from jsonschema_rs import Draft7Validator
from rendering import CHART, Manifests, render
from variants import SCHEMA, VARIANTS, chart_without_schema, rendered, values_of

RELEASE = "gpuspawner"
NASTY = "x\"'`: {{ .Release.Name }}|${HOME} #\n---\nkind: Secret\nmetadata: {name: injected}\n- \\ & \t*é"
RUN = NASTY.replace("{{ .Release.Name }}", RELEASE)
Path = tuple[str | int, ...]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_text_in_values_stays_a_text(variant: str) -> None:
    made = _rendered_with_nasty(variant)
    assert [_identity(item) for item in made] == [_identity(item) for item in rendered(variant)]
    assert not [text for text in (*_all_texts(list(made)), made.notes) if RUN in text]


def test_most_texts_of_values_are_tried() -> None:
    tried = {path for variant in VARIANTS for path, _ in _tries(variant)}
    assert len(tried) > 100
    assert any(NASTY in text for text in _all_texts(list(_rendered_with_nasty("placement"))))


def _rendered_with_nasty(variant: str) -> Manifests:
    """A variant in which every text that the chart takes in another one's stead is a nasty one."""
    values = copy.deepcopy(values_of(variant))
    tries = _tries(variant)
    for path, text in tries:
        _put(values, path, text)
    try:
        return render(values)
    except HelmError:  # some of them mean something to a template: put in one by one, as far as it takes them
        values = copy.deepcopy(values_of(variant))
    for path, text in tries:
        tried = copy.deepcopy(values)
        _put(tried, path, text)
        with suppress(HelmError):
            chart_without_schema().render(tried, name=RELEASE, namespace="jupyter")
            values = tried
    return render(values)


@cache
def _schema() -> Draft7Validator:
    return Draft7Validator(json.loads((CHART / SCHEMA).read_text(encoding="utf-8")))


@cache
def _tries(variant: str) -> list[tuple[Path, str]]:
    """The texts that the schema takes at a path, alone among the values as they are."""
    values, found = values_of(variant), []
    for path in _texts(values):
        for text in (NASTY, f"/{NASTY}", f"/{NASTY}/"):
            tried = copy.deepcopy(values)
            _put(tried, path, text)
            if _schema().is_valid(tried):
                found.append((path, text))
                break
    return found


def _put(values: Any, path: Path, text: str) -> None:
    for step in path[:-1]:
        values = values[step]
    values[path[-1]] = text


def _texts(value: Any, path: Path = ()) -> list[Path]:
    """The paths of all texts."""
    if isinstance(value, str):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in _texts(inner, (*path, key))]


def _all_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for inner in items for found in _all_texts(inner)]


def _identity(item: dict[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]
