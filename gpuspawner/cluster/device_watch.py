"""The watches of dynamic resource allocation: device classes, slices of devices, and the claims that hold them."""

from collections.abc import Callable
from typing import Any

from .client import Client
from .devices import Devices
from .watch import Key, Watch, key_of
from .wire import Raw

__all__ = ["DeviceWatch"]


class DeviceWatch:
    """Keeps `Devices` up to date. Claims of all namespaces are read where RBAC allows, else those of ``namespace``.

    ``on_claim(namespace, pod)`` is called when a claim of a pod has changed.
    """

    def __init__(
        self,
        client: Client,
        devices: Devices,
        namespace: str,
        on_claim: Callable[[str, str], None],
        *,
        cluster_wide: bool,
        may_fall_back: bool = True,
        **options: Any,
    ) -> None:
        def claim(key: Key, raw: Raw | None) -> None:
            for pod in devices.claim_changed(key, raw):
                on_claim(key[0], pod)

        self._slices = Watch(
            client,
            "resourceslices",
            on_upsert=lambda raw: devices.slice_changed(key_of(raw)[1], raw),
            on_delete=lambda key, _: devices.slice_changed(key[1], None),
            **options,
        )
        self._classes = Watch(
            client,
            "deviceclasses",
            on_upsert=lambda raw: devices.class_changed(key_of(raw)[1], raw),
            on_delete=lambda key, _: devices.class_changed(key[1], None),
            **options,
        )
        self._claims = Watch(
            client,
            "resourceclaims",
            on_upsert=lambda raw: claim(key_of(raw), raw),
            on_delete=lambda key, _: claim(key, None),
            namespace=None if cluster_wide else namespace,
            fallback_namespace=namespace if may_fall_back else None,
            **options,
        )
        self.all = (self._classes, self._slices, self._claims)

    def start(self) -> None:
        """Begin to watch; needs a running event loop."""
        for watch in self.all:
            watch.start()

    async def settled(self) -> None:
        """Wait until everything is known or refused."""
        for watch in self.all:
            await watch.settled()

    async def close(self) -> None:
        """Stop watching."""
        for watch in self.all:
            await watch.close()

    def hurry(self) -> None:
        """Ask the API again at once where it did not answer."""
        for watch in self.all:
            watch.hurry()

    @property
    def unknown(self) -> str | None:
        """Why the devices are not known; None if they are."""
        for watch in self.all:
            if not watch.synced:
                return watch.outage.reason if watch.outage else "not read yet"
        return None

    @property
    def cluster_wide(self) -> bool:
        """Whether the claims of all namespaces are seen."""
        return self._claims.namespace is None
