"""The images: their Dockerfiles, and lock files that hold all that goes into them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "helm" / "images"
DOCKERFILES = sorted(IMAGES.glob("*/Dockerfile"))
LOCKS = sorted(IMAGES.rglob("*requirements.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(IMAGES)))


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in its order, continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for line in joined.splitlines() if line for word, _, rest in [line.partition(" ")]]


def last_stage(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions that make the image itself."""
    every = instructions(dockerfile)
    return every[max(index for index, (word, _) in enumerate(every) if word == "FROM") :]


def pins(lock: Path) -> dict[str, str]:
    """The version of each package in a lock file."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", lock.read_text(), re.MULTILINE))


def asked_for(file: Path) -> list[Requirement]:
    """What a file of requirements asks for."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_there_is_an_image_of_the_hub_and_one_of_servers():
    assert [path.parent.name for path in DOCKERFILES] == ["hub", "singleuser"]
    assert len(LOCKS) == 3


@each_dockerfile
def test_hadolint_finds_nothing(dockerfile):
    found = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), dockerfile], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@each_dockerfile
def test_an_image_runs_as_a_user_that_pod_security_restricted_knows_is_not_root(dockerfile):
    users = [rest for word, rest in last_stage(dockerfile) if word == "USER"]
    assert users
    assert all(re.fullmatch(r"1000:(1000|100)", user) for user in users)
    after = last_stage(dockerfile)[-1]
    assert after[0] == "CMD"


@each_dockerfile
def test_bases_have_a_tag_that_is_no_moving_target(dockerfile):
    every = instructions(dockerfile)
    [default] = [rest.removeprefix("PYTHON=") for word, rest in every if word == "ARG"]
    assert re.fullmatch(r"3\.\d+-slim-\w+", default)
    assert {rest.partition(" ")[0] for word, rest in every if word == "FROM"} == {"python:${PYTHON}"}


@each_dockerfile
def test_the_last_stage_of_an_image_has_nothing_of_the_build(dockerfile):
    text = json.dumps(last_stage(dockerfile))
    assert "build-requirements" not in text
    assert "COPY gpuspawner" not in text
    assert "setuptools" not in text


@each_dockerfile
def test_an_image_says_the_version_it_holds(dockerfile):
    [label] = [rest for word, rest in last_stage(dockerfile) if word == "LABEL"]
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in label
    assert f'org.opencontainers.image.licenses="{PROJECT["license"]}"' in label


@each_dockerfile
def test_all_that_is_copied_is_there_and_is_sent_to_the_builder(dockerfile):
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [rest.split()[:-1] for word, rest in instructions(dockerfile) if word == "COPY" and "--from" not in rest]
    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists()
        assert any(name == allowed or name.startswith(f"{allowed}/") for allowed in let_through), name


@each_lock
def test_every_package_of_a_lock_file_has_its_version_and_its_hashes(lock):
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE).strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==\S+( ; .+?)? \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@each_lock
def test_a_lock_file_names_packages_and_no_place_they_come_from(lock):
    text = lock.read_text()
    for word in ("://", "index-url", "find-links", "trusted-host", " @ ", "--editable", "/opt/", "/work/"):
        assert word not in text
    assert "make lock" in text


@each_lock
def test_a_lock_file_holds_what_its_requirements_ask_for(lock):
    asked = asked_for(lock.with_suffix(".in"))
    if lock.parent.name == "hub":
        lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgresql"]]
        asked += [Requirement(line) for line in lines]
    locked = pins(lock)
    assert asked
    for one in asked:
        assert one.specifier.contains(locked[canonicalize_name(one.name)]), f"{one}: run make lock"


def test_the_notebooks_extension_finds_what_it_reads_the_gpu_with_in_the_image_of_servers():
    locked = pins(IMAGES / "singleuser" / "requirements.txt")
    for name in (
        "jupyterhub", "jupyterlab", "notebook", "nvidia-ml-py", "jupyter-server-proxy", "jupyter-collaboration",
        "jupyter-remote-desktop-proxy", "tensorboard", "torch", "nvidia-cuda-nvcc",
    ):  # fmt: skip
        assert name in locked
    assert locked["jupyterhub"].partition(".")[0] == pins(IMAGES / "hub" / "requirements.txt")["jupyterhub"][0]


def test_servers_see_no_gpu_unless_the_device_plugin_says_which():
    environment = " ".join(rest for word, rest in last_stage(IMAGES / "singleuser" / "Dockerfile") if word == "ENV")
    assert "NVIDIA_VISIBLE_DEVICES=void" in environment


def test_tensorboard_is_told_the_port_and_the_path_that_the_proxy_has_for_it():
    """As the notebook server itself reads the file, from the folder that the image has it in."""
    copied = [rest.split() for word, rest in last_stage(IMAGES / "singleuser" / "Dockerfile") if word == "COPY"]
    assert ["helm/images/singleuser/jupyter_server_config.json", "/usr/local/etc/jupyter/"] in copied
    shown = subprocess.run(
        [sys.executable, "-m", "jupyter_server", "--show-config-json"],
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(IMAGES / "singleuser")},
        capture_output=True,
        check=True,
    )
    server = json.loads(shown.stdout)["ServerProxy"]["servers"]["tensorboard"]
    assert {"--port={port}", "--path_prefix={base_url}tensorboard"} <= set(server["command"])
    assert server["absolute_url"] is True
