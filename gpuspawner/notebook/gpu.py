"""The memory in use on the GPUs of this container, by NVML."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["gpu_memory"]

_SHARED_BY = "CUDA_MPS_PIPE_DIRECTORY"


def gpu_memory(environment: Mapping[str, str] = os.environ) -> int | None:
    """Bytes in use on the GPU of this container that has most in use; None where that is not known.

    It is not known without ``nvidia-ml-py``, without driver or GPU, and under MPS, where the memory of others shows
    too. What the driver has reserved for itself does not count: with ECC that alone is hundreds of MiB.
    """
    if environment.get(_SHARED_BY):
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return max((_used(pynvml, handle) for handle in _mine(pynvml, environment)), default=None)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


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


def _used(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).used)
    except nvml.NVMLError_FunctionNotFound:  # drivers before 510
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).used)


def _uuid(nvml: Any, handle: Any) -> str:
    uuid = nvml.nvmlDeviceGetUUID(handle)
    return uuid.decode() if isinstance(uuid, bytes) else str(uuid)
