"""``load_values(c)``: the whole of a ``jupyterhub_config.py`` in a hub that the Helm chart has installed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from re import escape, match, sub
from typing import Any

from traitlets.config import Config

from gpuspawner.authenticator import with_workspaces
from gpuspawner.config import SECTION, load_settings, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.hub import configure
from gpuspawner.spawner import GPUSpawner
from gpuspawner.values.derive import authenticator_of, namespace_objects, paths, pod_template, sections
from gpuspawner.values.document import SECRET_VALUES, VALUES, Secrets, Values, parse_secrets, parse_values
from gpuspawner.values.known_traits import problems_of_traits
from gpuspawner.values.snippets import run_snippets

__all__ = ["apply_values", "load_values", "read_files"]

FOLDER = "/etc/gpuspawner"
VARIABLE = "GPUSPAWNER_VALUES"


def load_values(c: Config, path: str | os.PathLike[str] | None = None) -> None:
    """Configure a hub by the files that the Helm chart mounts; nothing else need be in its configuration file::

        from gpuspawner import load_values

        load_values(get_config())

    ``path`` is the folder with ``values.json`` and the files of secrets beside it, whose format is that of
    :class:`~gpuspawner.values.document.Values` and :class:`~gpuspawner.values.document.Secrets`. Without it, the
    variable ``GPUSPAWNER_VALUES`` of the environment names the folder, else it is ``/etc/gpuspawner``.

    In this order, what comes later winning: what the chart derives; ``gpuspawner``, ``hub.config`` and
    ``hub.secretConfig`` of the values; ``hub.extraConfig`` in the order of names. Then ``configure(c)``.

    Raises
    ------
    ConfigurationError
        Which stops the hub: every mistake with its path in the values, what was found, and what is allowed.
    """
    apply_values(c, *read_files(Path(path or os.environ.get(VARIABLE) or FOLDER)))


def read_files(folder: Path) -> tuple[Values, Secrets]:
    """What lies in the folder. Raises :exc:`ConfigurationError` where it cannot be read, or understood."""
    try:
        texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if _is_meant(file)}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{folder}: {error}"]) from None
    if VALUES not in texts:
        raise ConfigurationError(
            [f"{folder} has no {VALUES}. The chart mounts it; elsewhere ${VARIABLE} names the folder it is in."]
        )
    values = parse_values(texts.pop(VALUES), texts.pop(SECRET_VALUES, None))
    return values, parse_secrets(texts)


def apply_values(c: Config, values: Values, secrets: Secrets) -> None:
    """Do what :func:`load_values` does, with values and secrets that are read already."""
    found = sections(values, secrets)
    place, named = authenticator_of(values)
    try:
        kind = with_workspaces(named)
    except ConfigurationError as error:
        raise ConfigurationError([one.replace("with_workspaces", place, 1) for one in error.problems]) from error
    if problems := problems_of_traits(values, secrets, kind):
        raise ConfigurationError([*problems, *_problems_of_spawner(found["GPUSpawner"], paths(values, secrets))])
    c.merge(Config(found))
    run_snippets(values.hub.extra_config, c, values.custom)
    c.JupyterHub.authenticator_class = with_workspaces(c.JupyterHub.authenticator_class)
    theirs = section_of(c).get("pod_template", {})
    if isinstance(theirs, Mapping) and (joined := pod_template(values, theirs)):
        c.GPUSpawner.pod_template = joined
    namespaces = section_of(c).get("user_namespaces")
    if isinstance(namespaces, Mapping) and isinstance(objects := namespaces.get("objects", []), Sequence):
        c.GPUSpawner.user_namespaces = {**namespaces, "objects": namespace_objects(values, objects)}
    try:
        configure(c)
    except ConfigurationError as error:
        raise ConfigurationError(_said_of(error.problems, paths(values, secrets))) from None


def _problems_of_spawner(section: Mapping[str, Any], places: Mapping[str, str]) -> list[str]:
    try:
        load_settings(section, inherited=GPUSpawner.class_trait_names())
    except ConfigurationError as error:
        return _said_of(error.problems, places)
    return []


def _said_of(problems: Iterable[str], places: Mapping[str, str]) -> list[str]:
    """The same with the paths in the values, for what comes from there and not from a snippet, and without secrets."""
    said = []
    for problem in problems:
        trait = match(rf"{escape(SECTION)}[.](\w+)", problem)
        place = places.get(trait[1]) if trait else None
        if trait and place:
            problem = place + problem[trait.end() :]
            if not place.startswith(("gpuspawner.", "hub.config.")):
                problem = sub(": found .*, allowed: ", ": found something else, allowed: ", problem)
        said.append(problem)
    return said


def _is_meant(file: Path) -> bool:
    """Kubernetes keeps the files in hidden folders, and links to them beside these."""
    return not file.name.startswith(".") and file.is_file()
