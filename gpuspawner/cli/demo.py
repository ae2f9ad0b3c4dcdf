"""`gpuspawner demo`: a whole hub on this machine, as a supervisor of the engine, the proxy and JupyterHub."""

import argparse
import asyncio
import fcntl
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gpuspawner import notebook
from gpuspawner.cli.children import Child
from gpuspawner.cli.errors import CommandError
from gpuspawner.cli.ports import check_free, free_ports
from gpuspawner.cli.probes import answers, exists, reachable_address, reports_health
from gpuspawner.cli.proxy import Proxy, traefik
from gpuspawner.cli.supervisor import SPARED, Stopped, Supervisor, supervise

__all__ = ["run"]

CONFIG = Path(__file__).with_name("demo_config.py")
WELCOME = """
gpuspawner demo is ready:  {url}

  Accounts     student      workspaces Everyone and CSE 151A
               researcher   workspaces Everyone and Vision Lab
               prof         manages CSE 151A
               admin        hub administrator
  Password     demo, for each of them

  Try          Sign in as student, choose a profile and a GPU, start, and run  !env | grep -i cuda  in a notebook.
               Ask for more than the quota and read why not. Stop, and see the GPU free again.
               Sign in as prof to steer CSE 151A (Workspaces), and as admin for all of it (Administration).
  Look inside  KUBECONFIG={kubeconfig} kubectl get pods,nodes,events
  Logs         {logs}
  Data         {data}  (homes and the hub's database; delete it to begin anew)
  End          Ctrl-C
"""


@dataclass(frozen=True)
class Layout:
    """The files of one demo, all below `data`."""

    data: Path

    @property
    def lock(self) -> Path:
        """Held by the running demo; says which one it is."""
        return self.data / "demo.lock"

    @property
    def engine(self) -> Path:
        """The engine's state: homes and objects."""
        return self.data / "engine"

    @property
    def kubeconfig(self) -> Path:
        """How kubectl and the hub reach the engine."""
        return self.data / "kubeconfig"

    @property
    def hub(self) -> Path:
        """The hub's database and cookie secret."""
        return self.data / "hub"

    @property
    def proxy(self) -> Path:
        """traefik's configuration, made anew at every start."""
        return self.data / "proxy"

    @property
    def logs(self) -> Path:
        """One log per child."""
        return self.data / "logs"

    def create(self) -> None:
        """Make the folders.

        Raises
        ------
        CommandError
            One cannot be made or written.
        """
        try:
            for folder in (self.data, self.engine, self.hub, self.proxy, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.data / ".gitignore").write_text("*\n")
        except OSError as error:
            raise CommandError(
                f"the data folder {self.data} cannot be used: {error.strerror}. Choose another with --data-dir."
            ) from error


def run(options: argparse.Namespace) -> int:
    """Run the demo until it is stopped; 0 after Ctrl-C, SIGTERM or SIGHUP."""
    port = choose_port(options.port)
    layout = Layout(Path(options.data_dir).expanduser().absolute())
    traefik()
    layout.create()
    with lock(layout, options.ip, port):
        check_free(options.ip, port, f"Choose another: gpuspawner demo --port {port + 1}")
        return asyncio.run(_run(layout, (options.ip, port), options))


def choose_port(wanted: int | None) -> int:
    """The port of the hub's URL: `--port`, else the environment's PORT, else 8000."""
    text = str(wanted) if wanted is not None else os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise CommandError(f"'{text}' is no port; a port is a number from 1 to 65535, such as --port 8000.")
    return int(text)


@contextmanager
def lock(layout: Layout, ip: str, port: int) -> Iterator[None]:
    """Hold the data folder for this process; the system lets go of it however the process ends.

    Raises
    ------
    CommandError
        Another demo holds it.
    """
    with layout.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise CommandError(
                f"a demo already runs in {layout.data} ({file.read().strip()}). "
                f"Open that one, stop it with Ctrl-C, or start this one in another folder on another port: "
                f"gpuspawner demo --data-dir {layout.data.name}-2 --port {port + 1}"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}, {public_url(ip, port)}\n")
        file.flush()
        yield


def public_url(ip: str, port: int) -> str:
    """What to type into a browser on this machine."""
    host = reachable_address(ip)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def say(text: str, end: str = "\n") -> None:
    """Write for the person at the terminal, who may have left."""
    with suppress(OSError):
        print(text, end=end, flush=True)


class Progress:
    """``[2/4] starting the engine ... 0.8 s``."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """One line: `text` at once, the seconds it took when it is done."""
        self._step += 1
        started = time.monotonic()
        say(f"[{self._step}/{self._steps}] {text} ...", end="")
        try:
            yield
        except BaseException:
            say("")
            raise
        say(f" {time.monotonic() - started:.1f} s")


async def _run(layout: Layout, public: tuple[str, int], options: argparse.Namespace) -> int:
    progress = Progress(4)
    with progress.step(f"preparing {layout.data}"):
        hub_port, api_port = free_ports(2)
        proxy = Proxy.create(public, api_port, layout.proxy)
        layout.kubeconfig.unlink(missing_ok=True)
        for log in layout.logs.iterdir():
            log.unlink()
        engine, traefik_, hub = (
            _engine(layout, options.nodes),
            Child("the proxy", proxy.command, layout.logs / "proxy.log", layout.proxy, patience=5),
            _hub(layout, proxy, hub_port, options.nodes),
        )
    healthy = reports_health(("127.0.0.1", hub_port), public)
    url = public_url(*public)
    async with supervise(say) as supervisor:
        try:
            with progress.step("starting the engine"):
                await supervisor.start(engine, exists(layout.kubeconfig))
            with progress.step("starting the proxy"):
                await supervisor.start(traefik_, answers(api_port))
            with progress.step("starting JupyterHub"):
                await supervisor.start(hub, healthy, within=120)
            say(
                WELCOME.format(
                    url=url, data=layout.data, kubeconfig=shlex.quote(str(layout.kubeconfig)), logs=layout.logs
                )
            )
            if public[0] not in ("127.0.0.1", "::1", "localhost"):
                say(f"  Take care: {public[0]} is not loopback, and everybody knows the passwords.\n")
            if options.open:
                open_browser(url)
            await supervisor.watch(hub, healthy)
        except Stopped:
            pass
        finally:
            await _end(supervisor, layout, [[hub], [engine, traefik_]])
    return 0


async def _end(supervisor: Supervisor, layout: Layout, order: list[list[Child]]) -> None:
    """The hub first, so that it does not tell members about servers that vanish; then the servers and the proxy."""
    started = time.monotonic()
    say("\nStopping JupyterHub, the servers and the proxy ...", end="")
    await supervisor.stop(order)
    say(f" {time.monotonic() - started:.1f} s. Homes and the hub's database stay in {layout.data}")


def open_browser(url: str) -> None:
    """Show `url` in the user's browser, which outlives the demo."""
    subprocess.Popen(
        [sys.executable, "-m", "webbrowser", url],
        env={**os.environ, SPARED: "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """This environment's programs come first, above all jupyterhub-singleuser."""
    return {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])}


def _extension() -> dict[str, str]:
    """Where Jupyter finds the extension of the notebook server in a checkout; of a wheel it finds it by itself."""
    folder, names = str(Path(notebook.__file__).parent), ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
    return {name: os.pathsep.join([folder, *filter(None, [os.environ.get(name)])]) for name in names}


def _engine(layout: Layout, nodes: str) -> Child:
    return Child(
        "the engine",
        [
            *(sys.executable, "-m", "gpuspawner.cli", "engine", "--nodes", nodes),
            *("--data-dir", str(layout.engine), "--kubeconfig", str(layout.kubeconfig)),
        ],
        layout.logs / "engine.log",
        layout.engine,
        _environment() | _extension(),
        patience=30,
    )


def _hub(layout: Layout, proxy: Proxy, port: int, nodes: str) -> Child:
    return Child(
        "JupyterHub",
        [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)],
        layout.logs / "hub.log",
        layout.hub,
        _environment() | hub_environment(proxy, port, nodes) | {"KUBECONFIG": str(layout.kubeconfig)},
    )


def hub_environment(proxy: Proxy, port: int, nodes: str = "") -> dict[str, str]:
    """What the demo's configuration file needs to know: the hub's own port on loopback, the proxy, the nodes."""
    return {
        "GPUSPAWNER_DEMO_NODES": nodes,
        "GPUSPAWNER_DEMO_URL": public_url(*proxy.public),
        "GPUSPAWNER_DEMO_HUB_PORT": str(port),
        "GPUSPAWNER_DEMO_PROXY_API": proxy.api_url,
        "GPUSPAWNER_DEMO_PROXY_PASSWORD": proxy.password,
        "GPUSPAWNER_DEMO_PROXY_RULES": str(proxy.rules),
    }
