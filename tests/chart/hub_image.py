"""What the hub's image holds: the packages of its lock file, as `make test` installs them, and gpuspawner's wheel."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["IMAGE", "ROOT", "image_wheel"]

ROOT = Path(__file__).parents[2]
IMAGE = Path(sys.prefix).with_name(".venv-image")
"""Where `make test` has installed the packages of the hub's image."""


def image_wheel(folder: Path) -> Path:
    """gpuspawner's wheel, made by what the Dockerfile makes it with; unpacked beside it in ``installed``."""
    assert (IMAGE / ".locked").exists(), f"{IMAGE} is not there: run make .venv-image/.locked"
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "gpuspawner", sources / "gpuspawner", ignore=shutil.ignore_patterns("__pycache__"))
    command = [IMAGE / "bin" / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "--wheel-dir", folder, sources], check=True)
    [wheel] = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return wheel
