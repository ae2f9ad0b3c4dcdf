"""The objects of each server in Kubernetes: made in place of what an earlier launch left, and cleared away."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gpuspawner.bookkeeping.book import UnchargedError
from gpuspawner.bookkeeping.runs import FINALIZER
from gpuspawner.cluster.client import ApiError, Client, UnreachableError
from gpuspawner.cluster.events import ended
from gpuspawner.cluster.records import PodRecord, pod_record
from gpuspawner.cluster.view import View
from gpuspawner.companions import namespace_of
from gpuspawner.config import Settings
from gpuspawner.errors import LaunchError
from gpuspawner.labels import LAUNCH
from gpuspawner.pod import HUB_LABEL, Server, build_secret, pod_name
from gpuspawner.provision import ForeignObjectError
from gpuspawner.recent import Recent
from gpuspawner.request import LaunchRequest
from gpuspawner.sessions.lease import ended_by

__all__ = ["ServerObjects"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_REPLACEMENTS = 3
_STRATEGIC = "application/strategic-merge-patch+json"
_STOPPED = "stopped"
_UNCHARGED = 5.0
"""Seconds after which a pod that is kept by the ledger alone is no longer waited for, where the ledger is away."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class ServerObjects:
    """One for the hub.

    Parameters
    ----------
    needed
        Whether a launch of a server (user name, server name) is under way, which needs what has its name.
    devices
        Whether servers have ResourceClaimTemplates.
    ledger_away
        Why the ledger does not answer now; None while it does. Pods whose sessions are not charged wait for it.
    """

    def __init__(
        self,
        client: Client,
        view: View,
        settings: Settings,
        *,
        needed: Callable[[Key], bool],
        devices: bool,
        sleep: Callable[[float], Awaitable[None]],
        ledger_away: Callable[[], LaunchError | None] = lambda: None,
    ) -> None:
        self._client = client
        self._view = view
        self._settings = settings
        self._needed = needed
        self._devices = devices
        self._sleep = sleep
        self._ledger_away = ledger_away
        self._deleting: set[str] = set()
        self._without_secret: set[Key] = set()
        self._never_seen: Recent[str, None] = Recent()

    def namespace(self, user: str) -> str:
        """Where the objects of a user's servers are."""
        return namespace_of(user, self._settings)

    def pod(self, key: Key) -> PodRecord | None:
        """The pod of a server as the view knows it."""
        return self._view.pod(self.namespace(key[0]), pod_name(*key))

    def is_deleting(self, pod: PodRecord) -> bool:
        """Whether a pod is being deleted from here."""
        return pod.uid in self._deleting

    async def keep_secret(self, request: LaunchRequest, server: Server) -> None:
        """Make the Secret of a launch, if it has one. Raises as :meth:`replace`."""
        secret = build_secret(request.user, request.server, server, self._settings)
        if secret is None:
            self._without_secret.add((request.user, request.server))
        else:
            await self.replace("secrets", self.namespace(request.user), secret)

    async def replace(self, resource: str, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Create an object in place of one of the same name that an earlier launch left; returns it as stored.

        Raises
        ------
        ApiError, UnreachableError
            What Kubernetes answered.
        ForeignObjectError
            Where the one that is there is not of this hub.
        UnchargedError
            Where it is a pod that is kept until the ledger answers.
        """
        name = manifest["metadata"]["name"]
        for _ in range(_REPLACEMENTS):
            try:
                return await self._client.create(resource, namespace, manifest)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
            try:
                old = await self._client.get(resource, namespace, name)
                if old["metadata"].get("labels", {}).get(HUB_LABEL) != self._settings.hub_name:
                    raise ForeignObjectError(resource, name)
                uid = old["metadata"]["uid"]
                await self._client.delete(resource, namespace, name, uid=uid)
                if resource == "pods":
                    await self._until_gone(self._view.observe(old))
            except ApiError as error:
                if error.status not in (_NOT_FOUND, _CONFLICT):
                    raise
        return await self._client.create(resource, namespace, manifest)

    async def withdraw(self, key: Key, launch: str | None, grace_seconds: int | None = None) -> bool:
        """Delete the pod of one launch (None: of whichever is there); False where another launch's is in its place.

        Tries until the API has answered: the pod may exist although its creation was never confirmed.
        """
        namespace, name = self.namespace(key[0]), pod_name(*key)
        pause = _FIRST_PAUSE
        pod = self.pod(key)
        if pod is not None and launch not in (None, pod.annotations.get(LAUNCH)):
            pod = None  # what the API has may be newer
        while True:
            try:
                if pod is None:
                    pod = self._view.observe(await self._client.get("pods", namespace, name))
                if launch not in (None, pod.annotations.get(LAUNCH)):
                    return False
                await self._delete_pod(pod, grace_seconds)
                return True
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    if pod is None and launch is not None:
                        # A creation that was cut off may still reach the API.
                        self._never_seen[launch] = None
                    return True
                logger.warning("Pod %s/%s is not deleted yet: %s", namespace, name, error)
            except UnreachableError as error:
                logger.warning("Pod %s/%s is not deleted yet: %s", namespace, name, error)
            pod = None
            await self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def appeared_late(self, pod: PodRecord) -> bool:
        """Whether a pod is of a launch that was withdrawn before it was there; told once."""
        launch = pod.annotations.get(LAUNCH)
        if launch is None or launch not in self._never_seen:
            return False
        del self._never_seen[launch]
        return True

    async def discard(self, key: Key) -> None:
        """Delete what was made for a server's pod only, unless a new launch needs it."""
        namespace, name = self.namespace(key[0]), pod_name(*key)
        made = () if key in self._without_secret else ("secrets",)
        for resource in (*made, "resourceclaimtemplates") if self._devices else made:
            if self._needed(key):
                return
            try:
                await self._client.delete(resource, namespace, name)
            except (ApiError, UnreachableError) as error:
                status = getattr(error, "status", None)
                unused = resource == "secrets" and not self._settings.token_in_secret and status == _FORBIDDEN
                if status != _NOT_FOUND and not unused:
                    logger.warning("%s/%s is left behind in %s: %s", resource, name, namespace, error)

    def landed(self, pod: PodRecord, among: Sequence[str]) -> str | None:
        """The GPU class whose card a pod got; None where that is not known (any more)."""
        return self._view.class_of(pod, self._settings.catalog, among) if among else None

    def cause(self, pod: PodRecord) -> str:
        """Why a pod is over, in a word: ``stopped`` where JupyterHub stopped it."""
        if self.is_deleting(pod) and ended_by(pod.annotations) is None:
            return _STOPPED
        return ended(pod, ran=True).code

    async def read(self, pod: PodRecord) -> PodRecord | None:
        """A pod as Kubernetes has it now, None if it is gone. Raises ``ApiError``, ``UnreachableError``."""
        try:
            return pod_record(await self._client.get("pods", pod.namespace, pod.name), own=True)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    async def let_go(self, pod: PodRecord) -> None:
        """Take the ledger's finalizer off a pod, as the Job controller does its own. Raises as :meth:`read`."""
        patch = {"metadata": {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        await self._client.patch("pods", pod.namespace, pod.name, patch, content_type=_STRATEGIC)

    async def _until_gone(self, pod: PodRecord) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_UNCHARGED):
                    await self._view.wait_for(pod.namespace, pod.name, lambda _: False, uid=pod.uid)
                return
            away, now = self._ledger_away(), self._view.pod(*pod.key)
            if away is not None and now is not None and now.over and FINALIZER in now.finalizers:
                raise UnchargedError(away.detail)

    async def _delete_pod(self, pod: PodRecord, grace_seconds: int | None) -> None:
        self._deleting.add(pod.uid)
        try:
            await self._client.delete("pods", pod.namespace, pod.name, grace_seconds=grace_seconds, uid=pod.uid)
            await self._view.wait_for(pod.namespace, pod.name, _only_uncharged, uid=pod.uid)
        finally:
            self._deleting.discard(pod.uid)


def _only_uncharged(pod: PodRecord) -> bool:
    """Whether nothing of a pod is left but what the ledger has to note."""
    return pod.over and FINALIZER in pod.finalizers
