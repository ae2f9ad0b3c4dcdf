"""`gpuspawner demo` as somebody at a terminal sees it."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from running_demo import COMMAND, Demo, Member, StartDemo

from gpuspawner.cli import main
from gpuspawner.cli.demo import CONFIG, hub_environment
from gpuspawner.cli.ports import check_free, free_ports
from gpuspawner.cli.proxy import Proxy

Addresses = set[tuple[str, int]]
LINES = 60
"""Of an event stream, most of which only keep it alive."""


def assert_nothing_is_left(demo: Demo, listened: Addresses, within: float = 0) -> None:
    assert demo.left_over(within) == []
    for ip, port in listened:
        check_free(ip, port, "the demo left a listener behind")


def busy(demo: Demo) -> Addresses:
    """Run a notebook server with a kernel in the demo; where everything listens then."""
    member = Member(demo, "student")
    member.start_server(profile="pytorch", gpu_class="small")
    member.on_server("POST", "kernels", json={})
    listened = demo.listening()
    assert ("127.0.0.1", demo.port) in listened
    assert any("ipykernel" in " ".join(process.cmdline()) for process in demo.seen)
    return listened


def run_to_its_end(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def test_it_says_what_it_starts_and_what_to_try(start_demo: StartDemo) -> None:
    demo = start_demo()
    steps = re.findall(r"^\[(\d)/4\] .+ \.\.\. \d+\.\d s$", demo.said, re.MULTILINE)
    assert steps == ["1", "2", "3", "4"]
    for word in (demo.url, "student", "researcher", "prof", "admin", "kubectl", str(demo.data)):
        assert word in demo.said
    assert requests.get(demo.url, timeout=30).status_code == 200


def test_every_account_it_names_can_sign_in(start_demo: StartDemo) -> None:
    demo = start_demo()
    for name in ("student", "researcher", "prof", "admin"):
        member = Member(demo, name)
        assert member.ask("GET", "/hub/api/user").json()["admin"] == (name == "admin")


@contextmanager
def events(member: Member, path: str) -> Iterator[Iterator[Any]]:
    """What an event stream of the hub says, through the proxy, while it goes on."""
    headers = {"Authorization": f"token {member.token}", "Accept": "text/event-stream"}
    url = f"{member.demo.url}/hub/api/gpuspawner/{path}"
    with requests.get(url, headers=headers, stream=True, timeout=60) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = islice(stream.iter_lines(chunk_size=1), LINES)
        yield (json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))


def test_what_is_free_and_what_members_should_know_comes_through_the_proxy_as_it_happens(
    start_demo: StartDemo,
) -> None:
    member = Member(start_demo(), "student")
    with events(member, "availability") as available, events(member, "notices") as news:
        free = (now["classes"]["small"]["free"] for now in available)
        assert next(free) == 4
        member.start_server(profile="pytorch", gpu_class="small")
        assert 3 in free
        member.ask("POST", "/hub/api/gpuspawner/sessions/student/extend", json={"by": "1h"}).raise_for_status()
        assert next(news)["kind"] == "extended"
        member.stop_server()
        assert 4 in free


def test_nothing_listens_beyond_loopback(start_demo: StartDemo) -> None:
    listening = busy(start_demo())
    assert {ip for ip, _ in listening if not ip.startswith("127.")} == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_ctrl_c_and_its_kin_leave_no_process_and_no_port(start_demo: StartDemo, number: signal.Signals) -> None:
    demo = start_demo()
    listened = busy(demo)
    assert demo.end(number) == 0
    assert_nothing_is_left(demo, listened)
    assert "stay in" in demo.said


def test_a_double_ctrl_c_leaves_nothing_either(start_demo: StartDemo) -> None:
    demo = start_demo()
    listened = busy(demo)
    assert demo.end(signal.SIGINT, signal.SIGINT) == 0
    assert_nothing_is_left(demo, listened)


def test_a_killed_demo_takes_its_children_along(start_demo: StartDemo) -> None:
    demo = start_demo()
    listened = busy(demo)
    demo.end(signal.SIGKILL)
    assert_nothing_is_left(demo, listened, within=30)


def test_a_second_start_works_at_once_and_finds_tokens_and_homes(start_demo: StartDemo) -> None:
    first = start_demo()
    member = Member(first, "student")
    member.start_server(profile="notebook")
    member.on_server("PUT", "contents/kept.txt", json={"type": "file", "format": "text", "content": "here"})
    assert first.end() == 0
    member.demo = start_demo(port=first.port)
    assert member.ask("GET", "/hub/api/user").json()["servers"] == {}
    member.start_server(profile="notebook")
    assert member.on_server("GET", "contents/kept.txt").json()["content"] == "here"


def test_the_browser_it_opens_shows_the_hub_and_stays_when_it_ends(
    start_demo: StartDemo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    browser, shown = tmp_path / "browser", tmp_path / "shown"
    os.mkfifo(shown)
    browser.write_text(f'#!/bin/sh\necho "$$ $1" >{shown}\nexec sleep 600\n')
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{browser} %s &")
    demo = start_demo("--open")
    pid, url = shown.read_text().split()
    process = psutil.Process(int(pid))
    try:
        assert url == demo.url
        assert demo.end() == 0
        assert process.is_running()
    finally:
        process.kill()


def test_the_gpus_of_this_machine_are_one_class(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    proxy = Proxy(("127.0.0.1", 1), 2, tmp_path, "password")
    for name, value in hub_environment(proxy, 3, "this-machine").items():
        monkeypatch.setenv(name, value)
    assert main(["check", str(CONFIG)]) == 0
    assert re.search(r"^small .* nvidia.com/gpu$", capsys.readouterr().out, re.MULTILINE)


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_to_its_end("--port", port, "--data-dir", tmp_path / "demo")
    assert ended.returncode == 1
    assert f"port {port} is already in use" in ended.stderr
    assert f"--port {port + 1}" in ended.stderr
    assert ended.stdout == ""


def test_the_port_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        assert "already in use" in run_to_its_end("--data-dir", tmp_path / "demo").stderr
    monkeypatch.setenv("PORT", "many")
    assert "'many' is no port" in run_to_its_end("--data-dir", tmp_path / "demo").stderr


def test_a_second_demo_in_the_same_folder_is_told_where_the_first_is(start_demo: StartDemo) -> None:
    demo = start_demo()
    ended = run_to_its_end("--port", free_ports(1)[0], "--data-dir", demo.data)
    assert ended.returncode == 1
    assert "already runs" in ended.stderr
    assert demo.url in ended.stderr
    assert requests.get(demo.url, timeout=30).status_code == 200


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run_to_its_end("--port", free_ports(1)[0], "--data-dir", tmp_path / "file" / "demo")
    assert ended.returncode == 1
    assert "--data-dir" in ended.stderr


def test_a_killed_hub_comes_back_with_its_servers_and_what_they_hold(start_demo: StartDemo) -> None:
    demo = start_demo()
    members = [Member(demo, "student"), Member(demo, "researcher")]
    for member in members:
        member.start_server(workspace="everyone", profile="pytorch", gpu_class="small")
    since = [member.on_server("GET", "status").json()["started"] for member in members]

    demo.below()
    demo.child("jupyterhub").send_signal(signal.SIGKILL)
    assert "was killed by SIGKILL; starting it again in 0.5 s" in demo.next_line("JupyterHub")
    for member, started in zip(members, since, strict=True):
        assert member.on_server("GET", "status").json()["started"] == started  # the proxy and the pod live on
    demo.next_line("JupyterHub is back")

    for member, started in zip(members, since, strict=True):
        (server,) = member.ask("GET", "/hub/api/user").json()["servers"].values()
        assert server["ready"]
        assert member.on_server("GET", "status").json()["started"] == started
    third = Member(demo, "prof")
    refused = third.request_server(workspace="everyone", profile="pytorch", gpu_class="small")
    assert refused.status_code == 403
    assert "2 of 2" in refused.json()["message"]
    assert members[0].ask("DELETE", "/hub/api/users/student/server").status_code in (202, 204)


@pytest.mark.parametrize(("program", "name"), [("traefik", "the proxy"), ("engine", "the engine")])
def test_without_proxy_or_engine_the_demo_ends_and_shows_the_log(
    start_demo: StartDemo, program: str, name: str
) -> None:
    demo = start_demo()
    listened = busy(demo)
    demo.child(program).send_signal(signal.SIGKILL)
    assert demo.wait() == 1
    assert f"{name} was killed by SIGKILL" in demo.said
    assert ".log:" in demo.said
    assert_nothing_is_left(demo, listened)
