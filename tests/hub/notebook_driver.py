"""A driver library for notebook servers of tests, as a module: what nvidia-ml-py says on a machine with one T4."""

from pathlib import Path

__all__ = ["DRIVER", "settings_with_driver"]

DRIVER = """
import os
from pathlib import Path
from types import SimpleNamespace

class NVMLError(Exception): pass
class NVMLError_FunctionNotFound(NVMLError): pass
class NVMLError_NotFound(NVMLError): pass

NVML_DEVICE_MIG_ENABLE, nvmlMemory_v2 = 1, 2
nvmlInit = nvmlShutdown = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = lambda index: index
nvmlDeviceGetMigMode = lambda card: [0, 0]
nvmlDeviceGetUUID = lambda card: os.environ["NVIDIA_VISIBLE_DEVICES"]
nvmlDeviceGetName = lambda card: "Tesla T4"
nvmlDeviceGetUtilizationRates = lambda card: SimpleNamespace(gpu=45)
nvmlDeviceGetMemoryInfo = lambda card, version: SimpleNamespace(
    used=int(Path(__file__).with_name("mib").read_text()) * 2**20, total=15360 * 2**20
)
"""
"""A file ``mib`` beside it tells the MiB in use."""


def settings_with_driver(folder: Path, mib: int, *modules: Path) -> None:
    """Make a folder for ``JUPYTER_CONFIG_PATH``, by which servers find the driver, and modules of other folders."""
    paths = [str(path) for path in (folder, *modules)]
    (folder / "jupyter_server_config.py").write_text(f"import sys\nsys.path[:0] = {paths!r}\n")
    (folder / "pynvml.py").write_text(DRIVER)
    (folder / "mib").write_text(str(mib))
