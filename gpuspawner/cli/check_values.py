"""`gpuspawner check VALUES.yaml`: values of the Helm chart, every mistake in them told by its path."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError
from traitlets.config import Config

from gpuspawner.cli.errors import CommandError
from gpuspawner.errors import ConfigurationError
from gpuspawner.migration.chart import HERE
from gpuspawner.schema import nearest
from gpuspawner.values.document import Secrets, merged, of_chart
from gpuspawner.values.load import apply_values
from gpuspawner.values.misplaced import misplaced_secrets
from gpuspawner.values.together import contradictions

__all__ = ["load_values_files", "problems_of_values"]

_KEYS = "chart-values.schema.json"
_KINDS: Mapping[str, str] = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "nothing",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}


def load_values_files(paths: Sequence[Path]) -> Config:
    """What a hub that is installed with these values files, later ones over earlier ones, is configured with.

    What is in no values file, such as generated secrets, is left out.

    Raises
    ------
    ConfigurationError
        The values have mistakes, one line each.
    CommandError
        A file is missing, or is no YAML; exit status 2.
    """
    values: dict[str, Any] = {}
    for path in paths:
        values = merged(values, _read(path))
    problems = [*problems_of_values(values)] or [*contradictions(values)]
    problems += misplaced_secrets(values)
    if not problems:
        return _configured(values)
    try:  # what the hub reads of the section, whatever else is wrong
        _configured({"gpuspawner": values.get("gpuspawner") or {}})
    except ConfigurationError as error:
        problems += error.problems
    raise ConfigurationError(problems)


def _configured(values: Mapping[str, Any]) -> Config:
    config = Config()
    apply_values(config, of_chart(values), Secrets())
    return config


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CommandError(f"there is no file {path}. Name a values file of the chart.", status=2)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is no YAML: {error}", status=2) from error
    if not isinstance(found, dict | None):
        raise CommandError(f"{path}: found a {type(found).__name__}, allowed: a mapping of values.", status=2)
    return json.loads(json.dumps(found or {}, default=str))  # type: ignore[no-any-return]


@cache
def _keys() -> Draft7Validator:
    return Draft7Validator(json.loads((files("gpuspawner.values") / _KEYS).read_text(encoding="utf-8")))


def problems_of_values(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the chart's own keys; null leaves a value as the chart has it."""
    for error in sorted(_keys().iter_errors(values), key=lambda error: [*map(str, error.absolute_path)]):
        path = ".".join(map(str, error.absolute_path))
        if error.instance is None and error.validator == "type":
            continue
        match error.validator:
            case "additionalProperties":
                known = error.schema["properties"]
                for key in error.instance:
                    if key not in known:
                        where = f"{path}.{key}".lstrip(".")
                        yield f"{where}: unknown key{_here(where) or nearest(key, known)}"
            case "required":
                for key in error.validator_value:
                    if key not in error.instance:
                        yield f"{path}.{key}: missing; it is required"
            case _:
                yield f"{path}: found {_short(error.instance)}, allowed: {_allowed(error)}"


def _here(path: str) -> str:
    """What to say of a key of Zero-to-JupyterHub's chart."""
    return f", one of Zero-to-JupyterHub's chart; here it is {HERE[path]}" if path in HERE else ""


def _allowed(error: ValidationError) -> str:
    expected = error.validator_value
    match error.validator:
        case "type":
            return " or ".join(_KINDS[kind] for kind in ([expected] if isinstance(expected, str) else expected))
        case "enum":
            return ", ".join(repr(one) for one in expected)
        case "pattern":
            said: str = error.schema.get("$comment") or f"text that matches {expected}"
            return said
        case "minimum" | "maximum":
            return f"{expected} or {'more' if error.validator == 'minimum' else 'less'}"
        case "minItems" | "minLength" | "minProperties":
            return "what is not empty" if expected == 1 else f"{expected} entries or more"
        case _:
            return f"{error.validator} {expected}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
