"""A stand-in for NVIDIA's driver library: what nvidia-ml-py calls through ctypes, answered from a description."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pynvml
import pytest

MIB = 2**20


@dataclass
class Card:
    """A card, or with ``slices`` one that is cut into MIG devices; MiB, and per cent of ``load`` where it tells it."""

    uuid: str = "GPU-aaaa"
    used: int = 0
    reserved: int = 600
    total: int = 81920
    slices: Sequence["Card | None"] = ()
    load: int | None = None


@dataclass
class Driver:
    """What ``libnvidia-ml.so.1`` answers; ``old`` is one before version 510, ``broken`` answers every question so."""

    cards: list[Card]
    old: bool = False
    broken: int = 0
    initialized: int = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        answer = _ANSWERS.get(name)
        if answer is None or (self.old and name.endswith("_v2") and "Memory" in name):
            raise AttributeError(name)
        return lambda *arguments: self.broken if self._fails(name) else answer(self, *arguments)

    def _fails(self, name: str) -> bool:
        return bool(self.broken) and "Init" not in name and "Shutdown" not in name

    def handle(self, card: Card, into: Any) -> int:
        """Hand out a pointer to a card."""
        into._obj.card = card
        return 0


def _card(handle: Any) -> Card:
    found: Card = handle.card
    return found


def _count(driver: Driver, into: Any) -> int:
    into._obj.value = len(driver.cards)
    return 0


def _by_index(driver: Driver, index: Any, into: Any) -> int:
    return driver.handle(driver.cards[index.value], into)


def _mode(driver: Driver, handle: Any, current: Any, pending: Any) -> int:
    current._obj.value = pending._obj.value = int(bool(_card(handle).slices))
    return 0


def _most_slices(driver: Driver, handle: Any, into: Any) -> int:
    into._obj.value = len(_card(handle).slices)
    return 0


def _slice(driver: Driver, handle: Any, index: Any, into: Any) -> int:
    found = _card(handle).slices[index.value]
    return int(pynvml.NVML_ERROR_NOT_FOUND) if found is None else driver.handle(found, into)


def _uuid(driver: Driver, handle: Any, into: Any, length: Any) -> int:
    into.value = _card(handle).uuid.encode()
    return 0


def _name(driver: Driver, handle: Any, into: Any, length: Any) -> int:
    into.value = f"Card {_card(handle).uuid}".encode()
    return 0


def _utilization(driver: Driver, handle: Any, into: Any) -> int:
    load = _card(handle).load
    if load is None:
        return int(pynvml.NVML_ERROR_NOT_SUPPORTED)
    into._obj.gpu = load
    return 0


def _memory(driver: Driver, handle: Any, into: Any) -> int:
    card = _card(handle)
    into._obj.total, into._obj.used = card.total * MIB, (card.used + card.reserved) * MIB
    return 0


def _memory_v2(driver: Driver, handle: Any, into: Any) -> int:
    assert into._obj.version == pynvml.nvmlMemory_v2
    card = _card(handle)
    into._obj.total, into._obj.used, into._obj.reserved = card.total * MIB, card.used * MIB, card.reserved * MIB
    return 0


def _counted(step: int) -> Callable[..., int]:
    def change(driver: Driver, *_: Any) -> int:
        driver.initialized += step
        return 0

    return change


_ANSWERS: dict[str, Callable[..., int]] = {
    "nvmlInitWithFlags": _counted(1),
    "nvmlShutdown": _counted(-1),
    "nvmlDeviceGetCount_v2": _count,
    "nvmlDeviceGetHandleByIndex_v2": _by_index,
    "nvmlDeviceGetMigMode": _mode,
    "nvmlDeviceGetMaxMigDeviceCount": _most_slices,
    "nvmlDeviceGetMigDeviceHandleByIndex": _slice,
    "nvmlDeviceGetUUID": _uuid,
    "nvmlDeviceGetName": _name,
    "nvmlDeviceGetUtilizationRates": _utilization,
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetMemoryInfo_v2": _memory_v2,
}


def install(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> Driver:
    """Have the real nvidia-ml-py speak with this driver."""
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return driver
