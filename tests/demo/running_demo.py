"""The real `gpuspawner demo` in a process of its own, and people who use it over HTTP."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import requests

from gpuspawner.cli.ports import free_ports

COMMAND = [sys.executable, "-m", "gpuspawner.cli", "demo"]
START_WITHIN = 180
END_WITHIN = 60


class Demo:
    """A demo that has said that it is ready.

    Attributes
    ----------
    said
        What it printed until then.
    """

    def __init__(self, process: "subprocess.Popen[str]", port: int, data: Path, said: str) -> None:
        self.process = process
        self.port = port
        self.data = data
        self.said = said
        self.url = f"http://127.0.0.1:{port}"
        self.seen: set[psutil.Process] = set()

    @classmethod
    def start(cls, data: Path, port: int | None = None, *more: str) -> "Demo":
        """Start it and read what it says up to its last line."""
        port = port or free_ports(1)[0]
        process = subprocess.Popen(
            [*COMMAND, "--port", str(port), "--data-dir", str(data), *more],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        watchdog = threading.Timer(START_WITHIN, process.kill)
        watchdog.start()
        said = ""
        try:
            for line in process.stdout:
                said += line
                if "Ctrl-C" in line:
                    return cls(process, port, data, said)
        finally:
            watchdog.cancel()
        logs = "".join(f"\n--- {log.name}\n{log.read_text()}" for log in sorted(data.glob("logs/*.log")))
        raise AssertionError(f"the demo ended with {process.wait()}:\n{said}{logs}")

    def next_line(self, containing: str) -> str:
        """Read on until a line that contains this text."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(START_WITHIN, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                self.said += line
                if containing in line:
                    return line
        finally:
            watchdog.cancel()
        raise AssertionError(f"the demo never said {containing!r}:\n{self.said}")

    def below(self) -> set[psutil.Process]:
        """Every process it has started up to now, remembered in :attr:`seen`."""
        found = set(psutil.Process(self.process.pid).children(recursive=True))
        self.seen |= found
        return found

    def child(self, program: str) -> psutil.Process:
        """The child that runs this program, or this subcommand or module of Python."""
        children = psutil.Process(self.process.pid).children()
        (found,) = [child for child in children if program in (Path(part).name for part in child.cmdline())]
        return found

    def listening(self) -> set[tuple[str, int]]:
        """The addresses and ports on which it and what it started listen."""
        sockets = [socket for process in self.below() for socket in process.net_connections("inet")]
        return {(s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN}

    def end(self, *signals: signal.Signals) -> int:
        """Send the signals, one directly after the other, and return the exit status."""
        self.below()
        for number in signals or (signal.SIGINT,):
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it ends."""
        said, _ = self.process.communicate(timeout=END_WITHIN)
        self.said += said
        return self.process.returncode

    def left_over(self, within: float = 0) -> list[str]:
        """The command lines of the processes in :attr:`seen` that still run `within` seconds from now."""
        _, alive = psutil.wait_procs(self.seen, timeout=within)
        return [" ".join(process.cmdline()) for process in alive]


class Member:
    """Somebody signed in through the login form, with an API token of their own."""

    def __init__(self, demo: Demo, name: str) -> None:
        self.demo = demo
        self.name = name
        self.session = requests.Session()
        self.session.headers["Sec-Fetch-Mode"] = "navigate"
        hub = f"{demo.url}/hub"
        self.session.get(f"{hub}/login", timeout=30).raise_for_status()
        answer = self.session.post(
            f"{hub}/login",
            data={"username": name, "password": "demo", "_xsrf": self._xsrf()},
            allow_redirects=False,
            timeout=30,
        )
        assert answer.status_code == 302, f"{name} could not sign in: {answer.status_code}"
        self.session.get(f"{hub}/home", timeout=30).raise_for_status()
        made = self.session.post(
            f"{hub}/api/users/{name}/tokens", headers={"X-XSRFToken": self._xsrf()}, json={}, timeout=30
        )
        made.raise_for_status()
        self.token: str = made.json()["token"]

    def _xsrf(self) -> str:
        return next(cookie.value or "" for cookie in self.session.cookies if cookie.name == "_xsrf")

    def ask(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """A request with the member's token, to the hub or to one of their servers."""
        return requests.request(
            method,
            f"{self.demo.url}{path}",
            headers={"Authorization": f"token {self.token}"},
            timeout=60,
            **kwargs,
        )

    def request_server(self, **user_options: Any) -> requests.Response:
        """Ask for the default server through the REST API."""
        return self.ask("POST", f"/hub/api/users/{self.name}/server", json=user_options)

    def start_server(self, **user_options: Any) -> None:
        """Start the default server and follow its progress until it is ready."""
        answer = self.request_server(**user_options)
        assert answer.status_code in (201, 202), answer.text
        progress = self.ask("GET", f"/hub/api/users/{self.name}/server/progress")
        assert '"ready": true' in progress.text, progress.text

    def stop_server(self) -> None:
        """Stop the default server and wait until the hub has forgotten it."""
        path = f"/hub/api/users/{self.name}"
        self.ask("DELETE", f"{path}/server").raise_for_status()
        while self.ask("GET", path).json()["servers"]:
            time.sleep(0.05)

    def on_server(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """A request to the default server, through the proxy."""
        answer = self.ask(method, f"/user/{self.name}/api/{path}", **kwargs)
        answer.raise_for_status()
        return answer


StartDemo = Callable[..., Demo]
"""``start_demo()``, ``start_demo(port=18000)``."""
