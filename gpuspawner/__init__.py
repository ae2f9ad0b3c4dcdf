"""gpuspawner: log in to a JupyterHub, pick a GPU profile, get a notebook within your quota."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuspawner.authenticator import with_workspaces
    from gpuspawner.hub import configure
    from gpuspawner.spawner import GPUSpawner
    from gpuspawner.values.load import load_values

__all__ = ["GPUSpawner", "configure", "load_values", "with_workspaces"]

_HOMES = {
    "GPUSpawner": "spawner",
    "configure": "hub",
    "load_values": "values.load",
    "with_workspaces": "authenticator",
}


def __getattr__(name: str) -> Any:
    """Import on first use: JupyterHub and the Kubernetes client take seconds, and the pure parts need neither."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"gpuspawner.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
