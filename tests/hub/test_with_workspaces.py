"""The class that with_workspaces makes, and what a mistake in the configuration does when the hub starts."""

import asyncio
import sys

import pytest
from jupyterhub.auth import DummyAuthenticator, PAMAuthenticator
from traitlets.config import Config

from gpuspawner.authenticator import with_workspaces
from gpuspawner.errors import ConfigurationError


@pytest.mark.parametrize("base", ["dummy", "Dummy", "jupyterhub.auth.DummyAuthenticator", DummyAuthenticator])
def test_an_authenticator_is_named_by_entry_point_by_path_or_by_its_class(base):
    made = with_workspaces(base)
    assert issubclass(made, DummyAuthenticator)
    assert made is with_workspaces("dummy")
    assert made is with_workspaces(made)
    assert (made.__module__, made.__name__) == ("jupyterhub.auth", "DummyAuthenticator")


def test_an_unknown_name_is_answered_with_the_nearest_and_the_known():
    with pytest.raises(ConfigurationError) as error:
        with_workspaces("dumy")
    told, _, known = str(error.value).partition("Known: ")
    assert "'dumy'; did you mean 'dummy'?" in told
    assert {"dummy", "native", "null", "pam"} <= set(known.split(", "))


@pytest.mark.parametrize("base", ["no.such.module", "jupyterhub.spawner.Spawner", int, None])
def test_what_is_no_authenticator_is_refused(base):
    with pytest.raises(ConfigurationError, match="with_workspaces"):
        with_workspaces(base)


def test_the_sections_of_the_base_apply_and_each_once():
    config = Config()
    config.Authenticator.allow_all = True
    config.LocalAuthenticator.create_system_users = True
    config.PAMAuthenticator.add_user_cmd.append("--marker")
    made = with_workspaces("pam")(config=config)
    assert (made.allow_all, made.create_system_users) == (True, True)
    plain = PAMAuthenticator(config=config)
    assert made.add_user_cmd == plain.add_user_cmd
    assert made.add_user_cmd.count("--marker") == 1
    assert made.section_names() == PAMAuthenticator.section_names()


async def test_mistakes_stop_the_hub_when_it_starts_and_all_are_told(tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(
        "from gpuspawner.authenticator import with_workspaces\n"
        "c.JupyterHub.authenticator_class = with_workspaces('dummy')\n"
        "c.GPUSpawner.workspaces = {'everyone': {'membres': '*'}, 'lab': {'starts': 'monday'}}\n"
    )
    hub = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyterhub", "-f", str(file)),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await hub.communicate()
    assert hub.returncode == 1
    told = output.decode()
    assert "gpuspawner: 2 mistakes in the configuration:" in told
    assert "c.GPUSpawner.workspaces['everyone'].membres: unknown key; did you mean 'members'?" in told
    assert "c.GPUSpawner.workspaces['lab'].starts: found 'monday'" in told
