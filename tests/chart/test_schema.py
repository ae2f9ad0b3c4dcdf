"""The chart's schema: current, complete, in words that Helm tells well, and of one mind with the hub."""

import json
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmValuesError
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from rendering import CHART, render
from wrong_values import WRONG

from gpuspawner.config import KEYS, load_settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.schema import read_bytes, read_cores, read_seconds

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
AGAIN = "run: python tools/values_schema.py"
EVERY_KEY = yaml.safe_load((ROOT / "tests" / "data" / "chart" / "every-key.yaml").read_text(encoding="utf-8"))
SECTION = Draft7Validator({**SCHEMA, **SCHEMA["properties"]["gpuspawner"]})
GONE = object()
PROFILE = Draft7Validator({**SCHEMA, **SCHEMA["definitions"]["Profile"]})


@pytest.fixture(scope="module")
def tool() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield runpy.run_path(str(ROOT / "tools" / "values_schema.py"))


def test_the_schema_is_that_of_values_yaml_and_of_the_hubs_configuration(tool: dict[str, Any]) -> None:
    written = (CHART / "values.schema.json").read_text(encoding="utf-8")
    assert written == tool["text_of"](tool["schema"]()), AGAIN


def test_the_schema_that_the_check_reads_is_that_of_values_yaml(tool: dict[str, Any]) -> None:
    assert tool["OWN_KEYS"].read_text(encoding="utf-8") == tool["text_of"](tool["own_keys"]()), AGAIN


def test_the_table_of_values_is_that_of_values_yaml(tool: dict[str, Any]) -> None:
    assert (ROOT / "docs" / "reference" / "values.md").read_text(encoding="utf-8") == tool["document"](), AGAIN


def test_every_value_has_a_comment_above_it_in_values_yaml(tool: dict[str, Any]) -> None:
    assert tool["undocumented"]() == [], "write what each of them is above it in values.yaml, as `# -- What it is.`"


def test_what_is_said_of_values_in_the_tool_is_said_of_values_there_are(tool: dict[str, Any]) -> None:
    assert tool["unused"]() == [], "tools/values_schema.yaml speaks of values that values.yaml does not have"


def test_every_map_of_ours_has_the_keys_that_it_names_and_no_others() -> None:
    more = {
        path for path, node in _nodes(SCHEMA) if "properties" in node and node.get("additionalProperties") is not False
    }
    assert more == {"/NamedList/items"}, "a volume or container is Kubernetes' own: only its name is looked at"


def test_the_schema_is_one_that_helm_3_can_read_and_tell_well() -> None:
    Draft7Validator.check_schema(SCHEMA)
    keywords = {key for _, node in _nodes(SCHEMA) for key in node}
    assert keywords.isdisjoint({"anyOf", "oneOf", "not", "allOf", "propertyNames", "$defs", "unevaluatedProperties"})


def test_the_defaults_are_values_that_the_schema_takes() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(defaults)] == []


@pytest.mark.parametrize(("values", "place", "words"), WRONG, ids=[place + words for _, place, words in WRONG])
def test_helm_refuses_a_wrong_value_by_its_place_and_what_is_allowed(
    values: dict[str, Any], place: str, words: str
) -> None:
    with pytest.raises(HelmValuesError) as refused:
        render(values)
    lines = [line for line in str(refused.value).splitlines() if line.startswith("- at ")]
    assert any(line.startswith(f"- at '{place}'") and words in line for line in lines), lines


@pytest.mark.parametrize("section", [values["gpuspawner"] for values, _, _ in WRONG if "gpuspawner" in values])
def test_the_hub_refuses_what_helm_refuses(section: dict[str, Any]) -> None:
    if "start_timeout" in section or "modify_pod_hook" in section:
        pytest.skip("a trait of JupyterHub's: its type is checked when the hub reads it")
    with pytest.raises(ConfigurationError):
        load_settings(section, [])


def test_helm_and_the_hub_take_a_section_with_every_key_there_is() -> None:
    load_settings(EVERY_KEY["gpuspawner"], EVERY_KEY["gpuspawner"])
    assert render(EVERY_KEY).objects


def test_the_section_with_every_key_has_every_key() -> None:
    own = json.dumps(SCHEMA["properties"]["gpuspawner"])
    models = {name: node for name, node in SCHEMA["definitions"].items() if name in _named(own)}
    keys = {
        key for node in (SCHEMA["properties"]["gpuspawner"], *models.values()) for key in node.get("properties", ())
    }
    assert keys - set(_keys(EVERY_KEY["gpuspawner"])) == set(), "add them to tests/data/chart/every-key.yaml"


@given(amount=st.integers(0, 10**6), suffix=st.sampled_from(["", *"kMGTPE", *(f"{one}i" for one in "KMGTPE")]))
def test_helm_takes_every_quantity_that_the_hub_takes(amount: int, suffix: str) -> None:
    _agree("memory", read_bytes, f"{amount}{suffix}")
    _agree("memory", read_bytes, amount)
    _agree("cpu", read_cores, amount / 8)
    _agree("cpu", read_cores, f"{amount}m")


@given(parts=st.lists(st.tuples(st.integers(0, 99), st.sampled_from("dhms")), max_size=4))
def test_helm_takes_every_duration_that_the_hub_takes(parts: list[tuple[int, str]]) -> None:
    _agree("runtime", read_seconds, "".join(f"{number}{unit}" for number, unit in parts))


@settings(max_examples=150)
@given(data=st.data())
def test_helm_refuses_no_other_shape_than_the_hub_does(data: st.DataObject) -> None:
    """Texts and truth values where numbers belong are another matter: the hub reads those, too."""
    section = json.loads(json.dumps(EVERY_KEY["gpuspawner"], default=str))
    path = data.draw(st.sampled_from([path for path in _paths(section) if path[0] in KEYS and path != ("off_peak",)]))
    inside: Any = section
    for step in path[:-1]:
        inside = inside[step]
    shape = data.draw(st.sampled_from([None, [], {}, ["x"], [{}], {"default": 1}, -1, "", "never", "*", 1.5, GONE]))
    if shape is GONE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = shape
    try:
        load_settings(section, section)
    except ConfigurationError:
        return
    assert [error.message for error in SECTION.iter_errors(section)] == []


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a section but for those within Kubernetes' own objects."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if not {"pod", "pod_template", "claim_patch", "objects"} & {*path}:
            yield from _paths(inner, (*path, key))


def _agree(key: str, read: Callable[[Any], float], value: Any) -> None:
    try:
        read(value)
    except ValueError:
        return
    assert list(PROFILE.iter_errors({"image": "a:1", key: value})) == []


def _named(text: str) -> set[str]:
    """The definitions that a schema refers to, directly or not."""
    found: set[str] = set()
    ahead = [text]
    while ahead:
        names = set(re.findall(r'"#/definitions/(\w+)"', ahead.pop())) - found
        found |= names
        ahead += [json.dumps(SCHEMA["definitions"][name]) for name in names]
    return found


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within one, with its path."""
    if not isinstance(node, dict):
        return
    yield path, node
    for key in ("properties", "patternProperties", "definitions"):
        for name, inner in node.get(key, {}).items():
            yield from _nodes(inner, f"{path}/{name}")
    for key in ("additionalProperties", "items", "if", "then", "else"):
        yield from _nodes(node.get(key), path if key != "items" else f"{path}/items")
