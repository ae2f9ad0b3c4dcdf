"""The Python environment of the hub's image, made from its lock file: all is there, and the hub starts in it."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from hub_image import IMAGE, ROOT, image_wheel
from packaging.utils import canonicalize_name

AUTHENTICATORS = {
    "auth0", "azuread", "bitbucket", "cilogon", "firstuse", "generic-oauth", "github", "gitlab", "globus", "google",
    "ldap", "mediawiki", "native", "openshift", "pam", "shared-password", "tmp", "trusted-header",
}  # fmt: skip
LOCK = ROOT / "helm" / "images" / "hub" / "requirements.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """gpuspawner as it is installed in the images."""
    return image_wheel(tmp_path_factory.mktemp("wheel"))


def in_image(wheel: Path, program: str) -> str:
    """What a program prints in the image's environment."""
    ran = subprocess.run(
        [IMAGE / "bin" / "python", "-c", program],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(wheel.with_name("installed"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_wheel_holds_every_file_of_the_package(wheel):
    tracked = subprocess.run(["git", "ls-files", "gpuspawner"], cwd=ROOT, capture_output=True, text=True, check=True)
    held = set(zipfile.ZipFile(wheel).namelist())
    data = {name.partition(".data/data/")[2].rpartition("/")[2] for name in held if ".data/data/" in name}
    missing = [name for name in tracked.stdout.split() if name not in held and name.rpartition("/")[2] not in data]
    assert missing == []


def test_the_environment_is_that_of_the_lock_file_and_nothing_in_it_lacks_anything(wheel):
    program = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = {canonicalize_name(name): version for name, version in json.loads(in_image(wheel, program)).items()}
    locked = dict(line.split()[0].split("==") for line in LOCK.read_text().splitlines() if line[:1].isalnum())
    builders = {"pip", "setuptools", "gpuspawner"}
    assert {name: found[name] for name in found if name not in builders}.items() <= locked.items()
    assert in_image(wheel, "from pip._internal.cli.main import main; main(['check'])") == (
        "No broken requirements found.\n"
    )


def test_every_authenticator_of_the_image_can_be_named_and_wrapped(wheel):
    program = (
        "from importlib.metadata import entry_points\n"
        "from gpuspawner import with_workspaces\n"
        "for one in entry_points(group='jupyterhub.authenticators'):\n"
        "    with_workspaces(one.name)\n"
        "    print(one.name)\n"
        "from ltiauthenticator.lti13.auth import LTI13Authenticator\n"
        "from hmacauthenticator import HMACAuthenticator\n"
    )
    assert set(in_image(wheel, program).split()) >= AUTHENTICATORS


def test_databases_and_the_modules_of_zero_to_jupyterhub_are_there(wheel):
    for module in ("psycopg", "psycopg2", "pymysql", "cryptography", "yaml", "pycurl", "kubespawner",
                   "kubernetes_asyncio.client", "jupyterhub_idle_culler"):  # fmt: skip
        in_image(wheel, f"import {module}")
    in_image(wheel, "import psycopg; assert psycopg.pq.__impl__ == 'binary'")
