"""``hub.config`` held against the traits of the classes that a hub is made of, before it starts."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from jupyterhub.app import JupyterHub
from jupyterhub.auth import Authenticator
from jupyterhub.crypto import CryptKeeper
from jupyterhub.metrics import PeriodicMetricsCollector
from jupyterhub.proxy import ConfigurableHTTPProxy
from traitlets import HasTraits, TraitError, TraitType
from traitlets.config import Configurable

from gpuspawner.config import KEYS
from gpuspawner.membership.login_facts import ENTRY_POINTS
from gpuspawner.schema import closest, nearest
from gpuspawner.spawner import GPUSpawner
from gpuspawner.values.document import SECRET_CONFIG, Secrets, Values

__all__ = ["problems_of_traits"]

_NOT_IN_USE = "found settings of an authenticator that is not in use"
_LOGIN = "Authenticator"
_A_SLIP = 0.8
_ANOTHER_LOGIN = 0.9
"""How alike names are where one is the other mistyped; names of authenticators are much alike anyway."""
_CHOSEN = ("proxy_class", "spawner_class")
"""Traits of JupyterHub that name further classes, whose sections count as well."""


def problems_of_traits(values: Values, secrets: Secrets, authenticator: type[Authenticator]) -> list[str]:
    """One line for each trait in the values that no class of this hub has, or that would not take its value.

    Sections of classes that the hub is not known to have are passed over, as a snippet or a plugin may read them,
    unless they are hardly meant: of an authenticator that is not in use, or nearly of the name of a class.
    """
    found = [*_problems("gpuspawner", {"GPUSpawner": values.gpuspawner}, (GPUSpawner,))]
    classes = (authenticator, *_CLASSES, *_chosen(values.hub.config.get("JupyterHub", {})))
    # A snippet that chooses the authenticator may choose one of its own, which only it knows.
    unknown = any("authenticator_class" in snippet for snippet in values.hub.extra_config.values())
    for path, config in (
        ("hub.config", values.hub.config),
        ("hub.secretConfig", values.hub.secret_config),
        (SECRET_CONFIG, secrets.config),
    ):
        judged = {name: traits for name, traits in config.items() if not (unknown and name.endswith(_LOGIN))}
        found += _problems(path, judged, classes, secret=path != "hub.config")
    return found


_CLASSES = (JupyterHub, CryptKeeper, GPUSpawner, ConfigurableHTTPProxy, PeriodicMetricsCollector)


def _problems(
    path: str, config: Mapping[str, Mapping[str, Any]], classes: Iterable[type[Configurable]], *, secret: bool = False
) -> Iterator[str]:
    classes = list(classes)
    known = {name for kind in classes for name in kind.section_names()}
    for section, traits in config.items():
        place = path if path == "gpuspawner" else f"{path}.{section}"
        readers = [kind for kind in classes if section in kind.section_names()]
        if not readers:
            yield from _unread(place, section, known)
            continue
        has = {name: trait for kind in reversed(readers) for name, trait in kind.class_traits(config=True).items()}
        for name, value in traits.items():
            if section == "GPUSpawner" and name in KEYS:
                continue
            if name not in has:
                yield f"{place}.{name}: unknown key{nearest(name, has) if closest(name, has) else ''}"
            elif not _takes(has[name], value):
                what = f"a value of type {type(value).__name__}" if secret else _short(value)
                yield f"{place}.{name}: found {what}, allowed: {has[name].info()}"


def _unread(place: str, section: str, known: set[str]) -> Iterator[str]:
    longest_first = sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: -len(entry.name))
    installed = {entry.value.rpartition(":")[2]: entry.name for entry in longest_first}
    close, login = closest(section, known), section.endswith(_LOGIN)
    if section == "KubeSpawner":
        yield (
            f"{place}: servers are gpuspawner's here, which reads the section gpuspawner; "
            "'gpuspawner check --from-kubespawner VALUES.yaml' translates it"
        )
    elif section in installed:
        yield f"{place}: {_NOT_IN_USE}; set login.authenticator to {installed[section]!r}, or take them out"
    elif close and get_close_matches(section, [close], cutoff=_ANOTHER_LOGIN if login else _A_SLIP):
        yield f"{place}: no class of this hub is called {section!r}; did you mean {close!r}?"
    elif login:
        yield f"{place}: {_NOT_IN_USE}; set login.authenticator to its class, or take them out"


def _chosen(hub: Mapping[str, Any]) -> Iterator[type[Configurable]]:
    """The classes that traits of JupyterHub name."""
    for name in _CHOSEN:
        if name in hub and _takes(trait := JupyterHub.class_traits()[name], hub[name]):
            yield _read(trait, hub[name])


def _takes(trait: TraitType[Any, Any], value: Any) -> bool:
    try:
        _read(trait, value)
    except TraitError:
        return False
    return True


def _read(trait: TraitType[Any, Any], value: Any) -> Any:
    """What the trait makes of a value, on an object that has nothing else: no other trait, no observer, no hook."""
    probe = type("Probe", (HasTraits,), {"trait": copy(trait)})()
    probe.trait = value
    return probe.trait


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
