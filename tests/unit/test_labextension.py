"""The extension of JupyterLab as files: where its loader looks for them, and what must not be in them."""

import json
import tomllib
from pathlib import Path

import pytest

import gpuspawner
from gpuspawner import notebook

ROOT = Path(gpuspawner.__file__).parents[1]
FOLDER = Path(notebook.__file__).parent / "labextensions" / "gpuspawner"
SCRIPTS = sorted(FOLDER.glob("*.js"))


def test_jupyterlab_finds_it_in_the_wheel_and_loads_what_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (pattern,) = project["tool"]["setuptools"]["data-files"]["share/jupyter/labextensions/gpuspawner"]
    assert {*ROOT.glob(pattern)} == {*FOLDER.iterdir()}
    package = json.loads((FOLDER / "package.json").read_text())
    assert (package["name"], package["version"]) == ("gpuspawner", project["project"]["version"])
    assert (FOLDER / package["jupyterlab"]["_build"]["load"]).is_file()


def test_browsers_do_not_keep_it_for_a_year() -> None:
    """JupyterLab's server says of all in a folder named static that it never changes; elsewhere it sends an ETag."""
    assert not [path for path in FOLDER.rglob("*") if path.is_dir()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_value_is_ever_markup(script: Path) -> None:
    text = script.read_text()
    assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(") if word in text]


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 32 * 1024
