"""The Python environment of the hub's image, made from its lock file: all is there, and the hub starts in it."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

from cluster import TINY_SERVER
from following import follow
from hub_image import IMAGE, ROOT
from hub_process import HubProcess
from jupyterhub.utils import random_port
from packaging.utils import canonicalize_name
from rendering import decoded, render
from running_engine import running_engine
from stand_in_proxy import StandInProxy

AUTHENTICATORS = {
    "auth0", "azuread", "bitbucket", "cilogon", "firstuse", "generic-oauth", "github", "gitlab", "globus", "google",
    "ldap", "mediawiki", "native", "openshift", "pam", "shared-password", "tmp", "trusted-header",
}  # fmt: skip
LOCK = ROOT / "helm" / "images" / "hub" / "requirements.txt"


def in_image(wheel: Path, program: str) -> str:
    """What a program prints in the image's environment, which has nothing that makes wheels."""
    program = f"import sys\nsys.modules.update(setuptools=None, pkg_resources=None)\n{program}"
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
    modules = (
        "psycopg", "psycopg2", "pymysql", "cryptography", "yaml", "pycurl", "kubespawner", "kubernetes_asyncio.client",
        "jupyterhub_idle_culler",
    )  # fmt: skip
    program = f"from importlib import import_module\nfor name in {modules!r}:\n    import_module(name)\n"
    assert in_image(wheel, f"{program}import psycopg\nprint(psycopg.pq.__impl__)") == "binary\n"


async def test_the_charts_hub_starts_in_its_image_and_launches(wheel, tmp_path):
    images = {"*": (sys.executable, TINY_SERVER)}
    async with (
        running_engine(tmp_path / "engine", "cpu=1", images, namespaces=["jupyter"]) as lab,
        StandInProxy() as proxy,
    ):
        lab.engine.write_kubeconfig(tmp_path / "kubeconfig")
        here = f"http://127.0.0.1:{random_port()}"
        hub = {"JupyterHub": {"hub_bind_url": here, "hub_connect_url": here}}
        rendered = render({"hub": {"config": {**hub, "ConfigurableHTTPProxy": {"api_url": proxy.api_url}}}})
        secrets = decoded(rendered.one("Secret", "secrets"))
        proxy.token = secrets["proxy-token"]
        process = HubProcess(
            rendered,
            tmp_path,
            proxy.url,
            python=IMAGE / "bin" / "python",
            PATH="/usr/bin:/bin",
            PYTHONPATH=str(wheel.with_name("installed")),
            KUBECONFIG=str(tmp_path / "kubeconfig"),
        )
        async with process:
            admin = process.person()
            assert await admin.log_in("admin", secrets["admin-password"])
            ready = await follow(admin, "", {})
            assert ready.get("ready"), ready
            assert "/user/admin" in proxy.routes
