"""`gpuspawner check`: every mistake in a hub's configuration, before the hub is started with it."""

import argparse
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from traitlets.config import Config

from gpuspawner.cli.errors import CommandError
from gpuspawner.config import SECTION, Settings, load_settings, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.quantity import say_count
from gpuspawner.reports.configuration import tables

__all__ = ["cannot_be_run", "inherited", "is_values_file", "load_any", "load_config", "run", "table"]


def run(options: argparse.Namespace) -> int:
    """Print the mistakes of `options.config` (1), or what it offers (0), in the cluster if asked to; or what a
    KubeSpawner hub's file means."""
    paths = [Path(name) for name in options.config]
    path = paths[-1]
    if len(paths) > 1 and (options.from_kubespawner or not all(map(is_values_file, paths))):
        raise CommandError("name one file, or several values files of the chart as helm takes them.", status=2)
    if options.from_kubespawner:
        from gpuspawner.cli import from_kubespawner

        return from_kubespawner.run(path)
    try:
        config = load_any(*paths)
        section = section_of(config)
        settings = load_settings(section, inherited())
    except ConfigurationError as error:
        print(*error.problems, sep="\n")
        print(f"{path}: {say_count(len(error.problems), 'mistake')}.")
        return 1
    if is_values_file(path) and not (section.get("profiles") or section.get("workspaces")):
        print(f"{path}: no mistake. It names no profiles and workspaces: the chart offers its own to begin with.")
        return 0
    if not section:
        raise CommandError(
            f"{path} has no c.GPUSpawner section: a hub with it offers nothing. "
            "See examples/ for a configuration to start from."
        )
    from gpuspawner.cli import check_members

    mistakes, notes = check_members.look(settings, config, elsewhere=is_values_file(path))
    print("\n\n".join(describe(settings)))
    if notes:
        section_is = "gpuspawner" if is_values_file(path) else SECTION
        print("\n" + "\n".join(f"Note: {note}" for note in notes).replace(SECTION, section_is))
    if mistakes:
        print("\n" + "\n".join(mistakes))
        print(f"{path}: {say_count(len(mistakes), 'mistake')}.")
        return 1
    if options.cluster and (wrong := _compare(settings, bool(config.JupyterHub.get("internal_ssl")))):
        print(f"\n{path}: no node of the cluster can hold {wrong} of the launches above, now or later.")
        return 1
    print(f"\n{path}: no mistake.")
    return 0


def _compare(settings: Settings, internal_ssl: bool) -> int:
    """Print what the cluster has for each profile; returns how many no node can satisfy."""
    from gpuspawner.cli.check_cluster import look

    found = look(settings, internal_ssl=internal_ssl)
    print(f"\nCluster: {found.scope}\n")
    print(table(("PROFILE", "GPU CLASS", "NOW", "WHY"), found.rows))
    if found.warnings:
        print("\n" + "\n".join(f"Warning: {warning}" for warning in found.warnings))
    return found.misconfigured


def is_values_file(path: Path) -> bool:
    """Whether a file is one of values of the Helm chart, by its name."""
    return path.suffix in (".yaml", ".yml", ".json")


def load_any(*paths: Path) -> Config:
    """The configuration in a hub's file, or that of a hub that is installed with values files of the chart.

    Raises as :func:`load_config` does.
    """
    if not is_values_file(paths[0]):
        return load_config(paths[0])
    from gpuspawner.cli.check_values import load_values_files

    return load_values_files(paths)


def load_config(path: Path) -> Config:
    """The configuration in the file at `path`, loaded by JupyterHub's own loader.

    Raises
    ------
    ConfigurationError
        The file checks itself, with ``configure(c)``, and found mistakes.
    CommandError
        The file is missing, or running it raises anything else; exit status 2.
    """
    from jupyterhub.app import JupyterHub

    if not path.is_file():
        raise CommandError(f"there is no file {path}. Name the hub's configuration file.", status=2)
    hub = JupyterHub(config_file=str(path))
    hub.raise_config_file_errors = True
    try:
        hub.load_config_file(hub.config_file)
    except ConfigurationError:
        raise
    except Exception as error:
        raise cannot_be_run(path, error) from error
    config: Config = hub.config
    return config


def cannot_be_run(path: Path, error: Exception) -> CommandError:
    """What to say of a configuration file that raises `error`."""
    return CommandError(f"{path}{_line_of(error, path)} cannot be run: {type(error).__name__}: {error}", status=2)


def describe(settings: Settings) -> Iterable[str]:
    """What `settings` offer: a table each of workspaces, profiles and GPU classes, then the notices."""
    for found in tables(settings):
        yield table([title.upper() for title in found.header], found.rows)
    if settings.notices:
        yield "\n".join(f"Note: {notice}" for notice in settings.notices)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, the way `kubectl get` prints them."""
    cells = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def inherited() -> list[str]:
    """Names that the section may hold beside our own: those of every JupyterHub spawner."""
    from gpuspawner.spawner import GPUSpawner

    return list(GPUSpawner.class_trait_names())


def _line_of(error: Exception, path: Path) -> str:
    """``", line 12,"``: where in the file at `path` the error comes from, if it does."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno},"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f", line {lines[-1]}," if lines else ""
