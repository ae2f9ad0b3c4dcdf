"""What a server needs besides its pod, made and looked after in Kubernetes: namespace, claim, Service."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gpuspawner.cluster.client import ApiError, Client, UnreachableError
from gpuspawner.cluster.failures import plain
from gpuspawner.companions import (
    build_claim,
    build_namespace,
    build_namespace_objects,
    build_service,
    namespace_of,
)
from gpuspawner.config import Settings
from gpuspawner.errors import ClusterError
from gpuspawner.labels import HUB_LABEL, SERVER, STORAGE_COMPONENT, USER
from gpuspawner.request import LaunchRequest
from gpuspawner.server import Server
from gpuspawner.settings import NAMESPACE_OBJECTS

__all__ = ["ClaimMissingError", "ForeignObjectError", "Provision"]

logger = logging.getLogger(__name__)

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_FIRST_PAUSE, _LONGEST_PAUSE, _PATIENCE = 0.5, 30.0, 600.0
_ATTEMPTS = 3


class ForeignObjectError(ClusterError):
    """An object of the name this server needs belongs to somebody else."""

    code = "foreign_object"
    status = 409

    def __init__(self, resource: str, name: str, whose: str = "of this hub") -> None:
        super().__init__(
            f"Kubernetes has an object of this server's name that is not {whose} ({resource}/{name}).",
            "Tell the administrator of the hub.",
        )


class ClaimMissingError(ClusterError):
    """The home's claim does not exist, and the hub does not make claims."""

    code = "claim_missing"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The volume of your home (PersistentVolumeClaim {plain(name)}) does not exist.",
            "Ask the administrator of the hub to make it.",
        )


class Provision:
    """Makes what launches need, once each: what it has seen to exist it does not ask for again."""

    def __init__(
        self, client: Client, settings: Settings, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._client = client
        self._settings = settings
        self._sleep = sleep
        self._there: set[tuple[str, str]] = set()

    async def prepare(self, request: LaunchRequest, user_id: int | None = None) -> None:
        """Make what the pod of a launch mounts, where it is not there.

        Raises
        ------
        ApiError, UnreachableError
            What Kubernetes answered.
        ClusterError
            Where it belongs to somebody else, or is missing and not to be made.
        """
        namespace = namespace_of(request.user, self._settings)
        await self._once((namespace, ""), lambda: self._ensure_namespace(request.user))
        claim = self._claim_of(request, user_id)
        if claim is not None:
            await self._once((namespace, claim["metadata"]["name"]), lambda: self._ensure_claim(namespace, claim))

    async def _once(self, key: tuple[str, str], ensure: Callable[[], Awaitable[None]]) -> None:
        if key not in self._there:
            await ensure()
            self._there.add(key)

    async def publish(self, request: LaunchRequest, server: Server, pod: Mapping[str, Any]) -> None:
        """Make the Service of a server whose pod has just been made, if it is to have one.

        Raises
        ------
        ApiError, UnreachableError
            What Kubernetes answered.
        """
        if not server.host:
            return
        namespace = namespace_of(request.user, self._settings)
        service = build_service(request.user, request.server, server, self._settings, pod["metadata"])
        for _ in range(_ATTEMPTS):
            try:
                await self._client.create("services", namespace, service)
                return
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
            name = service["metadata"]["name"]
            try:
                old = await self._client.get("services", namespace, name)
                if (old["metadata"].get("labels") or {}).get(HUB_LABEL) != self._settings.hub_name:
                    raise ForeignObjectError("services", name)
                await self._client.delete("services", namespace, name, uid=old["metadata"]["uid"])
            except ApiError as error:
                if error.status not in (_NOT_FOUND, _CONFLICT):
                    raise
        await self._client.create("services", namespace, service)

    def doubt(self, request: LaunchRequest, user_id: int | None = None) -> None:
        """Look again before the next launch: what was there may be the reason that this one failed."""
        namespace = namespace_of(request.user, self._settings)
        self._there.discard((namespace, ""))
        claim = self._claim_of(request, user_id)
        if claim is not None:
            self._there.discard((namespace, claim["metadata"]["name"]))

    async def delete_kept(self, user: str, server: str) -> None:
        """Delete what is kept for a user who is deleted or, with a name, for a named server which is deleted.

        Only objects that name this user as their own are deleted; claims that KubeSpawner made do. Tries for up to ten
        minutes while Kubernetes does not answer.
        """
        own, storage = self._settings.user_namespaces, self._settings.storage
        if own is not None and own.delete_with_user and not server:
            await self._patiently(user, lambda: self._delete_namespace(user))
        elif storage is not None and storage.delete_with_user and storage.scope[0] and (not server or storage.scope[2]):
            await self._patiently(user, lambda: self._delete_claims(user, server))

    async def _patiently(self, user: str, delete: Callable[[], Awaitable[None]]) -> None:
        pause, waited = _FIRST_PAUSE, 0.0
        while True:
            try:
                await delete()
                return
            except (ApiError, UnreachableError) as error:
                logger.warning("What is kept for %r is not deleted yet: %s", user, error)
                if waited >= _PATIENCE:
                    raise
            await self._sleep(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _claim_of(self, request: LaunchRequest, user_id: int | None) -> dict[str, Any] | None:
        return build_claim(
            request.user,
            self._settings,
            server=request.server,
            workspace=request.workspace,
            profile=request.profile,
            user_id=user_id,
        )

    async def _ensure_namespace(self, user: str) -> None:
        wanted = build_namespace(user, self._settings)
        if wanted is None:
            return
        try:
            await self._client.create("namespaces", None, wanted)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
            name = wanted["metadata"]["name"]
            if not self._is_of(await self._client.get("namespaces", None, name), user):
                raise ForeignObjectError("namespaces", name) from None
        for manifest in build_namespace_objects(self._settings):
            _, resource = NAMESPACE_OBJECTS[manifest["kind"]]
            await self._client.apply(resource, wanted["metadata"]["name"], manifest)

    def _is_of(self, namespace: Mapping[str, Any], user: str) -> bool:
        """Whether a namespace is for this user: a user may be called like a namespace of somebody else."""
        metadata = namespace["metadata"]
        owner = (metadata.get("annotations") or {}).get(USER, user)
        return owner == user and (metadata.get("labels") or {}).get(HUB_LABEL) == self._settings.hub_name

    async def _delete_namespace(self, user: str) -> None:
        name = namespace_of(user, self._settings)
        self._there = {key for key in self._there if key[0] != name}
        try:
            found = await self._client.get("namespaces", None, name)
            if self._is_of(found, user):
                await self._client.delete("namespaces", None, name, uid=found["metadata"]["uid"])
        except ApiError as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):
                raise

    async def _ensure_claim(self, namespace: str, claim: dict[str, Any]) -> None:
        name = claim["metadata"]["name"]
        storage = self._settings.storage
        refusal: ApiError | None = None
        if storage is not None and storage.create:
            try:
                await self._client.create("persistentvolumeclaims", namespace, claim)
                return
            except ApiError as error:
                # A used-up ResourceQuota is told before it is told that the claim exists.
                if error.status not in (_CONFLICT, _FORBIDDEN):
                    raise
                refusal = error
        try:
            found = await self._client.get("persistentvolumeclaims", namespace, name)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            raise refusal or ClaimMissingError(name) from None
        self._check_owner(found, claim)

    @staticmethod
    def _check_owner(found: Mapping[str, Any], claim: Mapping[str, Any]) -> None:
        """A slug can be the same for two users: a claim that says it is another's is not mounted."""
        wanted = claim["metadata"]["annotations"].get(USER)
        owner = (found["metadata"].get("annotations") or {}).get(USER)
        if wanted is not None and owner is not None and owner != wanted:
            raise ForeignObjectError("persistentvolumeclaims", claim["metadata"]["name"], "yours")

    async def _delete_claims(self, user: str, server: str) -> None:
        namespace = namespace_of(user, self._settings)
        selector = f"component={STORAGE_COMPONENT}"  # KubeSpawner's slugs of the user differ: no label to select by
        async for page in self._client.pages("persistentvolumeclaims", namespace, label_selector=selector):
            for claim in page["items"]:
                metadata = claim["metadata"]
                annotations = metadata.get("annotations") or {}
                hub = (metadata.get("labels") or {}).get(HUB_LABEL, self._settings.hub_name)
                if annotations.get(USER) != user or hub != self._settings.hub_name:
                    continue
                if server and annotations.get(SERVER) != server:
                    continue
                await self._delete(namespace, metadata["name"], metadata["uid"])

    async def _delete(self, namespace: str, name: str, uid: str) -> None:
        self._there.discard((namespace, name))
        try:
            await self._client.delete("persistentvolumeclaims", namespace, name, uid=uid)
        except ApiError as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):
                raise
