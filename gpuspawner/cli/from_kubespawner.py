"""`gpuspawner check --from-kubespawner`: a KubeSpawner hub's configuration, said for gpuspawner."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue, PyFileConfigLoader

from gpuspawner.cli.check import cannot_be_run
from gpuspawner.cli.errors import CommandError
from gpuspawner.config import load_settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.migration.chart import is_values, traits_of_values
from gpuspawner.migration.rendering import render
from gpuspawner.migration.traits import DEFAULTS
from gpuspawner.migration.translation import translate

__all__ = ["kubespawner_traits", "read_config", "read_values", "run"]


def run(path: Path) -> int:
    """Print the configuration that says the same as the one at `path`: 1 where it has mistakes, else 0.

    A word on what is left to do goes to standard error, so that standard output is a file.
    """
    traits, remarks = (
        read_values(path) if path.suffix in (".yaml", ".yml") else (kubespawner_traits(read_config(path)), [])
    )
    if not traits:
        raise CommandError(f"{path} says nothing of KubeSpawner: there is no c.KubeSpawner section to translate.")
    try:
        translation = translate(traits, remarks)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{path}: KubeSpawner could not use it either: {type(error).__name__}: {error}") from error
    problems: list[str] = []
    try:
        load_settings(translation.section)
    except ConfigurationError as error:
        problems = list(error.problems)
    print(render(translation, path.name, problems), end="")
    left = len(translation.remarks) + len(problems)
    words = f"{left} remark{'s' if left != 1 else ''} at its end." if left else "nothing is left to do."
    print(f"{path}: said for gpuspawner; {words}", file=sys.stderr)
    return 1 if problems else 0


def read_config(path: Path) -> Config:
    """The configuration in the file at `path`; the classes that it names need not be installed here.

    Raises
    ------
    CommandError
        The file is missing, or running it raises anything; exit status 2.
    """
    if not path.is_file():
        raise CommandError(f"there is no file {path}. Name the hub's configuration file.", status=2)
    try:
        return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except Exception as error:
        raise cannot_be_run(path, error) from error


def read_values(path: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What values of Zero-to-JupyterHub's chart say of KubeSpawner, by trait, and remarks on the rest.

    Raises
    ------
    CommandError
        The file is missing, or holds no such values.
    """
    import yaml

    if not path.is_file():
        raise CommandError(f"there is no file {path}. Name the chart's values.", status=2)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is no YAML: {error}", status=2) from error
    if not is_values(values):
        raise CommandError(f"{path} has neither singleuser nor hub.config: these are no values of Zero-to-JupyterHub.")
    return traits_of_values(values)


def kubespawner_traits(config: Config) -> dict[str, Any]:
    """What a hub's configuration says of its spawner, by trait: ``c.Spawner``, ``c.KubeSpawner``, then its subclass."""
    spawner = config.get("JupyterHub", {}).get("spawner_class", "KubeSpawner")
    name = spawner.rpartition(".")[2] if isinstance(spawner, str) else getattr(spawner, "__name__", "")
    if not any(section in config for section in ("KubeSpawner", name)):
        return {}
    found: dict[str, Any] = {}
    for section in dict.fromkeys(("Spawner", "KubeSpawner", name)):
        for trait, value in config.get(section, {}).items():
            found[trait] = _value(trait, value, found)
    return found


def _value(trait: str, value: Any, found: Mapping[str, Any]) -> Any:
    """``c.KubeSpawner.volumes.append(...)`` and the like leave a lazy value behind, which changes the default."""
    if not isinstance(value, LazyConfigValue):
        return value
    default = found.get(trait, DEFAULTS.get(trait))
    if default in (None, [], {}):
        default = {} if "update" in value.to_dict() else []
    return value.get_value(default)
