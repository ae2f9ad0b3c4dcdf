"""`gpuspawner smoke-test` on a real hub, with a service that may make one user and act as that user, and no more."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jupyterhub
import pytest
from aiohttp import web
from cluster import SECTION
from launching import launch, named
from running_hub import ADMIN_TOKEN, RunningHub

from gpuspawner.cli import main
from gpuspawner.cli.errors import CommandError
from gpuspawner.cli.smoke_test import _choose, _must_answer
from gpuspawner.local.engine import Engine

TOKEN = "token-of-the-smoke-test"
SCOPES = ["admin:users!user=smoke-test", "tokens!user=smoke-test"]
PROFILES = {
    "pytorch": SECTION["profiles"]["pytorch"],
    "cpu": {**SECTION["profiles"]["cpu"], "memory": {"default": "2G", "min": "0.5G", "max": "4G"}},
    "crash": {**SECTION["profiles"]["crash"], "memory": {"default": "8G", "min": "8G", "max": "8G"}},
    "missing": {**SECTION["profiles"]["missing"], "memory": {"default": "8G", "min": "8G", "max": "8G"}},
}


OAUTH = {
    "client_id": "hub",
    "client_secret": "secret-of-the-hub",
    "authorize_url": "http://127.0.0.1:1/authorize",
    "token_url": "http://127.0.0.1:1/token",
    "userdata_url": "http://127.0.0.1:1/userdata",
    "enable_auth_state": True,
}
"""A login that the hub asks for again before each launch."""


@pytest.fixture
async def hub(start_gpu_hub: Any, request: pytest.FixtureRequest) -> RunningHub:
    found: RunningHub = await start_gpu_hub(
        profiles=PROFILES,
        **getattr(request, "param", {}),
        hub={
            "services": [{"name": "tests", "api_token": ADMIN_TOKEN}, {"name": "helm-test", "api_token": TOKEN}],
            "load_roles": [
                {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers"]},
                {"name": "helm-test", "services": ["helm-test"], "scopes": SCOPES},
            ],
        },
    )
    return found


async def command(hub: RunningHub, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """`gpuspawner smoke-test` as a process of its own."""
    (folder / "token").write_text(f"{TOKEN}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gpuspawner.cli", "smoke-test", *arguments, "--timeout", "60",
        "--hub", str(hub.url / "api"), "--token-file", str(folder / "token"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def users(hub: RunningHub) -> list[str]:
    return [found["name"] for found in await (await hub.api("GET", "users")).json()]


async def test_it_launches_the_smallest_profile_and_leaves_nothing_behind(
    hub: RunningHub, engine: Engine, tmp_path: Path
) -> None:
    status, out, err = await command(hub, tmp_path)
    assert (status, err) == (0, "")
    assert out.startswith("smoke-test launches cpu in everyone (1 CPU core, 500 MB).\n"), out
    assert "The server is ready after" in out
    assert "It has stopped." in out
    assert not named(engine, "pods")
    assert "smoke-test" not in await users(hub)


async def test_it_launches_on_a_gpu_of_the_class_that_is_asked_for(hub: RunningHub, tmp_path: Path) -> None:
    status, out, _ = await command(hub, tmp_path, "--gpu-class", "small")
    assert status == 0
    assert out.startswith("smoke-test launches pytorch in everyone (1 GPU of class small, 1 CPU core,"), out


async def test_a_launch_that_fails_is_told_with_the_hub_s_own_words(
    hub: RunningHub, engine: Engine, tmp_path: Path
) -> None:
    status, _, err = await command(hub, tmp_path, "--profile", "crash")
    assert status == 1
    assert "no module named torch" in err
    assert not named(engine, "pods")
    assert "smoke-test" not in await users(hub)


async def test_a_server_that_an_earlier_test_left_is_stopped_and_its_user_stays(
    hub: RunningHub, engine: Engine, tmp_path: Path
) -> None:
    await hub.api("POST", "users/smoke-test")
    assert await launch(hub, "smoke-test", {"profile": "pytorch", "gpu_class": "small"}) == ""
    status, out, err = await command(hub, tmp_path)
    assert (status, err) == (0, "")
    assert "launches cpu" in out
    assert "smoke-test" in await users(hub)
    assert not hub.user("smoke-test").orm_user.api_tokens, "its own token is gone"


@pytest.mark.parametrize(
    "hub",
    [
        {
            "authenticator": "generic-oauth",
            "login": {"GenericOAuthenticator": OAUTH, "CryptKeeper": {"keys": [b"k" * 32]}},
        }
    ],
    indirect=True,
)
async def test_a_user_who_has_never_logged_in_may_launch_where_logins_are_refreshed(
    hub: RunningHub, tmp_path: Path
) -> None:
    assert hub.app.authenticator.refresh_pre_spawn
    status, _, err = await command(hub, tmp_path)
    if jupyterhub.version_info >= (6, 1):
        assert (status, err) == (0, "")
    else:
        assert status, "before JupyterHub 6.1 nobody may launch without a login: see Authenticator.auth_refresh_strict"


async def test_its_token_reaches_nobody_else(hub: RunningHub, tmp_path: Path) -> None:
    await hub.login("ada", "x")
    status, _, err = await command(hub, tmp_path, "--user", "ada")
    assert status == 2
    assert "404: No access to resources" in err
    assert not hub.user("ada").running


def offered(**profiles: dict[str, Any]) -> dict[str, Any]:
    """What a user is entitled to, in one workspace."""
    amounts = {"cpu": {"min": 1}, "memory": {"min": 10**9}, "gpus": {"min": 0}, "reason": "", "gpu_classes": []}
    found = [{"name": name, **amounts, **one} for name, one in profiles.items()]
    return {"workspaces": [{"name": "everyone", "reason": "", "default": True, "profiles": found}]}


def options(**given: str) -> argparse.Namespace:
    return argparse.Namespace(**{"user": "smoke-test", "workspace": None, "profile": None, "gpu_class": None, **given})


def test_a_profile_that_needs_a_gpu_is_launched_only_where_there_is_none_without() -> None:
    classes = [{"name": "large", "reason": "All are held."}, {"name": "small", "reason": ""}]
    needs = {"gpus": {"min": 2}, "gpu_classes": classes, "memory": {"min": 1}}
    assert _choose(offered(deep=needs, cpu={}), options())["profile"] == "cpu"
    only = _choose(offered(deep=needs), options())
    assert (only["profile"], only["gpus"], only["gpu_class"]) == ("deep", 2, "small")


@pytest.mark.parametrize(
    ("found", "asked", "words"),
    [
        (offered(cpu={"reason": "The budget is used up."}), {}, "cpu in everyone: The budget is used up."),
        (offered(cpu={}), {"gpu_class": "small"}, "cpu in everyone: It has no such GPU class."),
        (offered(cpu={}), {"profile": "cpv"}, "nothing is on offer to smoke-test. Make the user a member"),
        ({"workspaces": []}, {}, "nothing is on offer to smoke-test. Make the user a member"),
    ],
)
def test_where_nothing_can_be_launched_it_says_why(found: dict[str, Any], asked: dict[str, str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        _choose(found, options(**asked))


@pytest.fixture
async def proxied() -> AsyncIterator[str]:
    """A proxy with a server that knows its user, one that does not, and one that is not there."""
    routes = {"well": (302, "/user/well/lab"), "locked": (302, "/hub/api/oauth2/authorize"), "gone": (503, "")}

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "token t"
        status, where = routes[request.match_info["name"]]
        return web.Response(status=status, headers={"Location": where} if where else {})

    app = web.Application()
    app.router.add_get("/user/{name}/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield "http://{}:{}".format(*runner.addresses[0])
    await runner.cleanup()


async def test_a_server_must_answer_its_user_through_the_proxy(proxied: str) -> None:
    await asyncio.to_thread(_must_answer, proxied, "/user/well/", "t")
    for name, said in (("locked", "302"), ("gone", "503")):
        with pytest.raises(CommandError, match=f"does not answer its user at .*{said}.*network policies"):
            await asyncio.to_thread(_must_answer, proxied, f"/user/{name}/", "t")
    with pytest.raises(CommandError, match="cannot be reached"):
        await asyncio.to_thread(_must_answer, "http://127.0.0.1:1", "/user/x/", "t")


def test_a_hub_that_does_not_come_ends_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "x")
    assert main(["smoke-test", "--hub", "http://127.0.0.1:1/hub/api", "--timeout", "0"]) == 2
    assert "does not answer" in capsys.readouterr().err
