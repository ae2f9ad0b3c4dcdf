"""What administration asks of the running hub, for pages and API: the queue, and doubts about its configuration."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from jupyterhub.auth import Authenticator

from gpuspawner.authenticator import WorkspaceAuthenticator
from gpuspawner.config import Settings
from gpuspawner.membership.doubts import doubts
from gpuspawner.membership.rosters import Rosters
from gpuspawner.reports import cluster_look
from gpuspawner.reports.cluster_look import ClusterLook
from gpuspawner.reports.configuration import Remark, Table, remarks, tables
from gpuspawner.reports.queue import QueueLine, queue
from gpuspawner.web.asking import Asking

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["ConfigurationReport", "configuration_of", "queue_of"]


def queue_of(
    launcher: "Launcher", workspaces: Collection[str] | None = None, *, turns: bool = True
) -> tuple[QueueLine, ...]:
    """The launches under way in some workspaces; None: in all. Without ``turns`` not whose turn comes when, for which
    every pod is looked at."""
    names = None if workspaces is None else list(workspaces)
    outlook = launcher.outlook if turns else _unasked
    return queue(launcher.under_way, launcher.settings, outlook, launcher.now(), workspaces=names)


def _unasked(user: str, server: str) -> None:
    """No outlook."""


@dataclass(frozen=True, slots=True)
class ConfigurationReport:
    """What `gpuspawner check --cluster` would say; ``cluster`` is None where nodes are not known, for a reason."""

    version: str
    remarks: tuple[Remark, ...]
    tables: tuple[Table, ...]
    cluster: ClusterLook | None
    cluster_unknown: str

    @property
    def mistakes(self) -> Sequence[Remark]:
        """Those that keep something from working."""
        return [one for one in self.remarks if one.mistake]

    @property
    def notes(self) -> Sequence[Remark]:
        """Those that can hardly be meant."""
        return [one for one in self.remarks if not one.mistake]

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {
            "version": self.version,
            "remarks": [one.as_json() for one in self.remarks],
            "tables": [one.as_json() for one in self.tables],
            "cluster": self.cluster and self.cluster.as_json(),
            "cluster_unknown": self.cluster_unknown,
        }


def configuration_of(handler: Asking) -> ConfigurationReport:
    """Of the configuration that the hub runs with. Raises ``UnavailableError``."""
    launcher = handler.launcher
    settings, view = launcher.settings, launcher.view
    mistakes, notes = _doubts(handler, settings)
    unknown = view.capacity_unknown or ("" if view.synced else "the cluster has not been read yet")
    return ConfigurationReport(
        version=metadata.version("gpuspawner"),
        remarks=(*remarks(mistakes, mistakes=True), *remarks((*settings.notices, *notes))),
        tables=tuple(tables(settings)),
        cluster=None if unknown else cluster_look.look(settings, view, launcher.expected, launcher.prospects),
        cluster_unknown=unknown,
    )


def _doubts(handler: Asking, settings: Settings) -> tuple[list[str], list[str]]:
    authenticator: Authenticator = handler.settings["authenticator"]
    ours = isinstance(authenticator, WorkspaceAuthenticator)
    rosters = authenticator.workspace_memberships.rosters if ours else Rosters(())
    return doubts(settings, handler.settings["config"], type(authenticator), rosters, asked=ours)
