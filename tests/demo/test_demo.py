"""`gpuspawner demo` as somebody at a terminal sees it."""

import re
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
import requests
from running_demo import COMMAND, Demo, Member, StartDemo

from gpuspawner.cli.ports import check_free, free_ports


def assert_nothing_is_left(demo: Demo, ports: set[int], within: float = 0) -> None:
    assert demo.left_over(within) == []
    for port in ports:
        check_free("127.0.0.1", port, "the demo left a listener behind")


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


def test_nothing_listens_beyond_loopback(start_demo: StartDemo) -> None:
    demo = start_demo()
    sockets = [s for process in demo.below() for s in process.net_connections("inet")]
    assert {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_ctrl_c_and_its_kin_leave_no_process_and_no_port(start_demo: StartDemo, number: signal.Signals) -> None:
    demo = start_demo()
    ports = demo.listening()
    assert demo.port in ports
    assert demo.end(number) == 0
    assert_nothing_is_left(demo, ports)
    assert "stay in" in demo.said


def test_a_double_ctrl_c_leaves_nothing_either(start_demo: StartDemo) -> None:
    demo = start_demo()
    ports = demo.listening()
    assert demo.end(signal.SIGINT, signal.SIGINT) == 0
    assert_nothing_is_left(demo, ports)


def test_a_killed_demo_takes_its_children_along(start_demo: StartDemo) -> None:
    demo = start_demo()
    ports = demo.listening()
    demo.end(signal.SIGKILL)
    assert_nothing_is_left(demo, ports, within=30)


def test_a_second_start_works_at_once_and_knows_the_first(start_demo: StartDemo) -> None:
    first = start_demo()
    token = Member(first, "student").token
    assert first.end() == 0
    second = start_demo(port=first.port)
    who = requests.get(f"{second.url}/hub/api/user", headers={"Authorization": f"token {token}"}, timeout=30)
    assert who.json()["name"] == "student"


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


def test_a_killed_hub_is_started_again_and_the_proxy_leads_to_it(start_demo: StartDemo) -> None:
    demo = start_demo()
    member = Member(demo, "student")
    demo.below()
    demo.child("jupyterhub").send_signal(signal.SIGKILL)
    assert "was killed by SIGKILL; starting it again in 0.5 s" in demo.next_line("JupyterHub")
    demo.next_line("JupyterHub is back")
    assert member.ask("GET", "/hub/api/user").json()["name"] == "student"


@pytest.mark.parametrize(("program", "name"), [("traefik", "the proxy"), ("engine", "the engine")])
def test_without_proxy_or_engine_the_demo_ends_and_shows_the_log(
    start_demo: StartDemo, program: str, name: str
) -> None:
    demo = start_demo()
    ports = demo.listening()
    demo.child(program).send_signal(signal.SIGKILL)
    assert demo.wait() == 1
    assert f"{name} was killed by SIGKILL" in demo.said
    assert ".log:" in demo.said
    assert_nothing_is_left(demo, ports)
