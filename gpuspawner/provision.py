"""What a server needs besides its pod: the claim of its home, made and looked after in Kubernetes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gpuspawner.cluster.client import ApiError, Client, UnreachableError
from gpuspawner.cluster.failures import plain
from gpuspawner.companions import build_claim
from gpuspawner.config import Settings
from gpuspawner.errors import ClusterError
from gpuspawner.labels import HUB_LABEL, SERVER, STORAGE_COMPONENT, USER
from gpuspawner.request import LaunchRequest

__all__ = ["ClaimMissingError", "ForeignObjectError", "Provision"]

logger = logging.getLogger(__name__)

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_FIRST_PAUSE, _LONGEST_PAUSE, _PATIENCE = 0.5, 30.0, 600.0


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
        claim = self._claim_of(request, user_id)
        if claim is None:
            return
        key = (self._settings.namespace, claim["metadata"]["name"])
        if key not in self._there:
            await self._ensure_claim(claim)
            self._there.add(key)

    def doubt(self, request: LaunchRequest, user_id: int | None = None) -> None:
        """Look again before the next launch: what was there may be the reason that this one failed."""
        claim = self._claim_of(request, user_id)
        if claim is not None:
            self._there.discard((self._settings.namespace, claim["metadata"]["name"]))

    async def delete_claims(self, user: str, server: str) -> None:
        """Delete the claims of a user who is deleted or, with a name, that of a named server which is deleted.

        Only claims that name this user as their own are deleted; those that KubeSpawner made do. Tries for up to ten
        minutes while Kubernetes does not answer.
        """
        storage = self._settings.storage
        if storage is None or not storage.delete_with_user or not storage.scope[0]:
            return
        if server and not storage.scope[2]:
            return
        pause, waited = _FIRST_PAUSE, 0.0
        while True:
            try:
                await self._delete_claims(user, server)
                return
            except (ApiError, UnreachableError) as error:
                logger.warning("The claims of %r are not deleted yet: %s", user, error)
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

    async def _ensure_claim(self, claim: dict[str, Any]) -> None:
        namespace, name = self._settings.namespace, claim["metadata"]["name"]
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
        namespace = self._settings.namespace
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
