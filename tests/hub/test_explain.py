"""`explain`, by the API and by the command, on a real hub with a real launch that is in the way."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from launching import launch
from running_hub import ADMIN_TOKEN, RunningHub

from gpuspawner.cli import main

LAB_TOKEN = "token-of-the-lab-dashboard"
READ = "custom:gpuspawner:read"


@pytest.fixture
async def hub(start_gpu_hub: Any) -> RunningHub:
    """A hub whose lab has one GPU left over, and a service that may read the lab only."""
    hub: RunningHub = await start_gpu_hub(
        workspaces={
            "everyone": {"members": "*", "quota": {"small": 2}, "per_member": {"servers": 3}},
            "lab": {"display_name": "The Lab", "members": ["ada", "grace"], "quota": {"medium": 1}},
            "next": {"display_name": "Next Term", "members": ["ada"], "starts": "2999-01-04"},
        },
        hub={
            "services": [
                {"name": "tests", "api_token": ADMIN_TOKEN},
                {"name": "lab-dashboard", "api_token": LAB_TOKEN},
            ],
            "load_roles": [
                {
                    "name": "tests",
                    "services": ["tests"],
                    "scopes": ["admin:users", "admin:groups", "admin:servers", "tokens", "shutdown"],
                },
                {"name": "lab", "services": ["lab-dashboard"], "scopes": [f"{READ}!group=lab"]},
            ],
            "load_groups": {"lab": {"users": []}},
        },
    )
    for name in ("ada", "grace", "hopper"):
        await hub.login(name, "x")
    return hub


async def ask(hub: RunningHub, body: dict[str, Any], token: str = ADMIN_TOKEN) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as session:
        answer = await session.post(hub.url / "api/gpuspawner/explain", json=body)
        found: dict[str, Any] = await answer.json()
        return answer.status, found


async def test_the_api_says_what_a_member_may_start_and_which_rule_refuses_what(hub: RunningHub) -> None:
    assert await launch(hub, "grace", {"workspace": "lab", "gpu_class": "medium", "runtime": "2h"}) == ""
    options = {"workspace": "lab", "gpu_class": "medium"}
    status, told = await ask(hub, {"user": "ada", "options": options})
    assert (status, told["allowed"]) == (200, False)
    assert told["reason"] == "The Lab holds 1 of 1 Medium GPU; you asked for 1 more."
    (refused,) = [check for check in told["checks"] if not check["allowed"]]
    assert refused["rule"] == "c.GPUSpawner.workspaces['lab'].quota['medium']"
    assert refused["allowed_from"] == told["allowed_from"] is not None, "grace's server ends in two hours"
    lab = next(offer for offer in told["offers"] if offer["name"] == "lab")
    pytorch = next(profile for profile in lab["profiles"] if profile["name"] == "pytorch")
    assert pytorch["gpus"]["why"] == "Medium: The Lab holds 1 of its 1 GPU of this class."
    refusal = await launch(hub, "ada", options)
    assert told["reason"] in refusal, "a launch is told the same"
    status, told = await ask(hub, {"user": "ada", "options": {"gpu_class": "small"}})
    assert (told["allowed"], told["summary"]) == (True, "PyTorch on 1 GPU (Small), 1 CPU core, 1 GB, for 1 h")


async def test_a_member_asks_for_themselves_with_plain_query_arguments(hub: RunningHub) -> None:
    ada = await hub.login("ada", "x")

    async def asked(**query: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Sec-Fetch-Mode": "cors", **ada.xsrf_header()}
        answer = await ada.get("api/gpuspawner/explain", params=query, headers=headers)
        return answer.status, await answer.json()

    status, told = await asked(workspace="everyone", gpu_class=["small", "medium"])
    assert (status, told["user"], told["options"]["gpu_class"]) == (200, "ada", ["small", "medium"])
    assert told["reason"] == "The GPU class Medium is not on offer in everyone."
    status, told = await asked(user="grace")
    assert (status, told["code"]) == (403, "forbidden")
    status, told = await asked(usr="ada")
    assert status == 400
    assert "usr: unknown key; did you mean 'user'?" in told["reason"]
    status, told = await asked(gpus=["1", "2"])
    assert (status, told["reason"]) == (400, "gpus is there 2 times.")


async def test_who_may_read_one_workspace_sees_only_that_one(hub: RunningHub) -> None:
    status, told = await ask(hub, {"user": "ada"}, LAB_TOKEN)
    assert status == 200
    assert [offer["name"] for offer in told["offers"]] == ["lab"]
    for user in ("hopper", "nobody"):
        status, told = await ask(hub, {"user": user}, LAB_TOKEN)
        assert (status, told["code"]) == (403, "forbidden"), "who is not in the lab, and who does not exist, look alike"
    status, told = await ask(hub, {"user": "ada", "options": {"workspace": "everyone"}}, LAB_TOKEN)
    assert status == 403
    assert (await ask(hub, {"user": "nobody"}))[0] == 404


async def test_a_workspace_to_come_says_when_it_opens(hub: RunningHub) -> None:
    _, told = await ask(hub, {"user": "ada", "options": {"workspace": "next"}})
    assert told["reason"] == "Next Term opens on 4 January 2999."
    assert told["allowed_from"] == "2999-01-04T00:00:00+00:00"


async def test_without_the_ledger_budgets_are_left_out_and_that_is_said(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, told = await ask(hub, {"user": "ada"})
    assert told["budgets_known"] is True

    async def away() -> bool:
        return False

    monkeypatch.setattr(hub.app.tornado_settings["gpuspawner_launcher"].books, "ready", away)
    _, told = await ask(hub, {"user": "ada"})
    assert (told["allowed"], told["budgets_known"]) == (True, False)


async def command(hub: RunningHub, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """`gpuspawner explain` as a process of its own, with its token in a file."""
    (folder / "token").write_text(f"{ADMIN_TOKEN}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gpuspawner.cli", "explain", *arguments,
        "--hub", str(hub.url / "api"), "--token-file", str(folder / "token"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_prints_the_decision_and_every_limit(hub: RunningHub, tmp_path: Path) -> None:
    status, out, _ = await command(hub, tmp_path, "ada", "--workspace", "lab", "--gpu-class", "medium", "--gpus", "2")
    assert status == 1
    assert "ada may not start this now: PyTorch on 2 GPUs (Medium)" in out
    assert "You asked for 2 GPUs; The Lab may hold 1 Medium GPU at once. Ask for at most 1." in out
    assert "c.GPUSpawner.workspaces['lab'].quota['medium']" in out
    status, out, _ = await command(hub, tmp_path, "ada")
    assert status == 0
    assert out.startswith("ada may start this now: PyTorch on 1 GPU (Small)")
    assert "WHY NOT" in out
    status, out, _ = await command(hub, tmp_path, "ada", "--json")
    assert json.loads(out)["allowed"] is True
    status, _, err = await command(hub, tmp_path, "nobody")
    assert (status, err) == (
        2,
        "gpuspawner explain: The hub knows no user 'nobody'. Check the name; users appear with a first login.\n",
    )


def test_the_command_says_what_is_wrong_with_its_token_and_its_url(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    assert main(["explain", "ada"]) == 2
    assert "no token" in capsys.readouterr().err
    assert main(["explain", "ada", "--token-file", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "x")
    assert main(["explain", "ada", "--hub", "ftp://x"]) == 2
    assert "is no URL of a hub" in capsys.readouterr().err
    assert main(["explain", "ada", "--hub", "http://127.0.0.1:1/hub/api"]) == 2
    assert "does not answer" in capsys.readouterr().err
