"""The GPUs of this container, by NVML: the memory in use on each, and how busy it is."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Gpu", "gpu_memory", "gpus"]

_SHARED_BY = "CUDA_MPS_PIPE_DIRECTORY"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU or MIG device as it is now: bytes in use and in all, and the part of the last second it was busy.

    What the driver has reserved for itself does not count as in use: with ECC that alone is hundreds of MiB. ``load``
    is None where the driver does not tell it, as for MIG devices.
    """

    name: str
    used: int
    total: int
    load: float | None


def gpus(environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs of this container; none where nothing is known of them.

    It is not known without ``nvidia-ml-py``, without driver or GPU, and under MPS, where the memory of others shows
    too.
    """
    with _driver(environment) as nvml:
        if nvml is None:
            return []
        try:
            return [_read(nvml, handle) for handle in _mine(nvml, environment)]
        except nvml.NVMLError:
            return []


def gpu_memory(environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes in use on the GPU of this container that has most in use; None where :func:`gpus` knows none."""
    with _driver(environment) as nvml:
        if nvml is None:
            return None
        try:
            return max((int(_memory(nvml, handle).used) for handle in _mine(nvml, environment)), default=None)
        except nvml.NVMLError:
            return None


@contextmanager
def _driver(environment: Mapping[str, str]) -> Iterator[Any]:
    """NVIDIA's library, ready to be asked; None where there is none, or its answers are not this container's."""
    try:
        import pynvml
    except ImportError:
        pynvml = None
    if pynvml is None or environment.get(_SHARED_BY):
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _read(nvml: Any, handle: Any) -> Gpu:
    memory = _memory(nvml, handle)
    return Gpu(_text(nvml.nvmlDeviceGetName(handle)), int(memory.used), int(memory.total), _load(nvml, handle))


def _load(nvml: Any, handle: Any) -> float | None:
    try:
        return int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:
        return None


def _mine(nvml: Any, environment: Mapping[str, str]) -> Iterator[Any]:
    """The GPUs and MIG devices of this container.

    A container sees only its own. Where it is none, as in ``gpuspawner demo``, ``NVIDIA_VISIBLE_DEVICES`` names them.
    """
    visible = environment.get("NVIDIA_VISIBLE_DEVICES", "").split(",")
    named = tuple(name for name in visible if name.startswith(("GPU-", "MIG-")))
    for index in range(nvml.nvmlDeviceGetCount()):
        card = nvml.nvmlDeviceGetHandleByIndex(index)
        for handle in _devices(nvml, card):
            if not named or _uuid(nvml, handle) in named or _uuid(nvml, card) in named:
                yield handle


def _devices(nvml: Any, card: Any) -> Iterator[Any]:
    try:
        sliced = nvml.nvmlDeviceGetMigMode(card)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:
        sliced = False
    if not sliced:
        yield card
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index)
        except nvml.NVMLError_NotFound:
            continue


def _memory(nvml: Any, handle: Any) -> Any:
    try:
        return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError_FunctionNotFound:  # drivers before 510
        return nvml.nvmlDeviceGetMemoryInfo(handle)


def _uuid(nvml: Any, handle: Any) -> str:
    return _text(nvml.nvmlDeviceGetUUID(handle))


def _text(found: bytes | str) -> str:
    return found.decode() if isinstance(found, bytes) else str(found)
