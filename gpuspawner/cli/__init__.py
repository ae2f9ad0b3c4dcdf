"""The `gpuspawner` command: the demo, the embedded engine, and what an administrator asks and checks."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path

from gpuspawner.cli.errors import CommandError

__all__ = ["main"]

DEMO_NODES = "a100=1x4 t4=1x4 cpu=1"
NODES_HELP = (
    "nodes to pretend, as PRODUCT=NODESxGPUS: 'a100=1x8 t4=2x4 cpu=1' is one node with eight A100, two with four T4 "
    "each and one without GPU; or 'this-machine': the GPUs that nvidia-smi shows here"
)


def _default_config() -> str:
    """The hub's configuration file: that of the working directory, in a pod of the Helm chart the mounted one."""
    name, mounted = "jupyterhub_config.py", os.environ.get("GPUSPAWNER_VALUES")
    return str(Path(mounted) / name) if mounted and not Path(name).exists() else name


def build_parser() -> argparse.ArgumentParser:
    """The command line of `gpuspawner`, without importing what its subcommands need."""
    parser = argparse.ArgumentParser(
        prog="gpuspawner", description="Log in to a hub, pick a GPU profile, get a notebook within your quota."
    )
    parser.add_argument("--version", action="version", version=f"gpuspawner {metadata.version('gpuspawner')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="a whole hub on this machine: JupyterHub, a proxy, and pretended GPU nodes",
        description="Starts a JupyterHub with example workspaces and profiles behind a proxy, on the embedded engine. "
        "Needs no cluster, no Docker and no GPU. Ctrl-C ends it; homes and the hub's database stay in --data-dir.",
    )
    demo.add_argument("--port", type=int, help="port of the hub's URL (default: $PORT, else 8000)")
    demo.add_argument("--ip", default="127.0.0.1", help="address of the hub's URL (default: %(default)s)")
    demo.add_argument("--data-dir", default="gpuspawner-demo", help="folder of all state (default: ./%(default)s)")
    demo.add_argument("--nodes", default=DEMO_NODES, help=f"{NODES_HELP} (default: '%(default)s')")
    demo.add_argument("--open", action="store_true", help="open the hub in the browser once it is ready")

    engine = commands.add_parser(
        "engine",
        help="only the embedded engine: a Kubernetes API on loopback whose pods are local processes",
        description="Runs the embedded engine in the foreground until Ctrl-C. It writes a kubeconfig for kubectl, "
        "for this spawner and for any other Kubernetes client.",
    )
    engine.add_argument("--port", type=int, default=0, help="port of the API on loopback (default: any free one)")
    engine.add_argument("--data-dir", default="gpuspawner-engine", help="folder of all state (default: ./%(default)s)")
    engine.add_argument("--kubeconfig", help="file to write once it listens (default: 'kubeconfig' in the data folder)")
    engine.add_argument("--nodes", default="this-machine", help=f"{NODES_HELP} (default: '%(default)s')")
    engine.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="PATTERN[=COMMAND]",
        help="an image that exists, with the command it runs when the pod names none; may be repeated "
        "(default: '*=jupyterhub-singleuser'). Any other image ends in ErrImagePull",
    )

    check = commands.add_parser(
        "check",
        help="print every mistake in a hub's gpuspawner configuration, or in values of the Helm chart",
        description="Loads the file the way JupyterHub does and checks its c.GPUSpawner section; of values.yaml, all "
        "that the chart takes and its hub reads. "
        "Exit status 0: no mistake; 1: mistakes, one line each; 2: the file cannot be loaded.",
    )
    check.add_argument(
        "--from-kubespawner",
        action="store_true",
        help="print what the file, or values of Zero-to-JupyterHub in YAML, say of KubeSpawner as a configuration of "
        "gpuspawner, with a comment on what is not the same",
    )
    check.add_argument(
        "--cluster",
        action="store_true",
        help="also read the cluster: whether each profile is free, busy, needs a node, or is misconfigured there, and "
        "which GPU classes take parts of cards by accident (default: only the file is read)",
    )
    check.add_argument(
        "config",
        nargs="*",
        metavar="FILE",
        default=[_default_config()],
        help="the hub's configuration file, or values files of the Helm chart, later ones over earlier ones "
        f"(default: {_default_config()})",
    )
    _add_explain(commands)
    _add_smoke_test(commands)
    _add_await_images(commands)
    _add_scale(commands)
    which, period = _which_ledger(), _period()
    _add_ledger(commands, which, period)
    _add_simulate(commands, which, period)
    return parser


def _add_explain(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    explain = commands.add_parser(
        "explain",
        help="what somebody may start now, and if not, why",
        description="Asks a running hub: every limit that applies to a launch, its value, what is used, which rule set "
        "it, and when it would be allowed. Exit status 0: it may start; 1: it may not; 2: the hub did not answer.",
    )
    explain.add_argument("user", metavar="USER", help="whose launch")
    explain.add_argument("--server", default="", help="name of the server (default: the default server)")
    for option in ("workspace", "profile", "gpu-class", "gpus", "cpu", "memory", "runtime", "image"):
        explain.add_argument(f"--{option}", metavar=option.upper(), help="as in the launch form")
    explain.add_argument(
        "--hub",
        metavar="URL",
        help="URL of the hub's API (default: $JUPYTERHUB_API_URL, else http://127.0.0.1:8081/hub/api)",
    )
    explain.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with a token of JupyterHub (default: $JUPYTERHUB_API_TOKEN). For others than oneself it takes the "
        "scope custom:gpuspawner:read",
    )
    explain.add_argument("--json", action="store_true", help="print the answer as the API gives it")


def _add_smoke_test(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    test = commands.add_parser(
        "smoke-test",
        help="launch the smallest profile on a running hub as a test user, see it answer, and stop it",
        description="Asks a running hub to launch what is smallest of all that the test user may have, waits until the "
        "server answers, and stops it. A user who did not exist is deleted afterwards. Exit status 0: all went well; "
        "1: the launch did not, with why; 2: the hub does not answer or refuses the token.",
    )
    test.add_argument("--user", default="smoke-test", help="who launches (default: %(default)s)")
    for option, help_ in (
        ("workspace", "only from this workspace"),
        ("profile", "only this profile"),
        ("gpu-class", "with a GPU of this class, even where none is needed"),
    ):
        test.add_argument(f"--{option}", metavar=option.upper(), help=help_)
    test.add_argument(
        "--timeout", type=int, default=600, metavar="SECONDS", help="for all of it (default: %(default)s)"
    )
    test.add_argument(
        "--hub",
        metavar="URL",
        help="URL of the hub's API (default: $JUPYTERHUB_API_URL, else http://127.0.0.1:8081/hub/api)",
    )
    test.add_argument(
        "--url", help="URL of the hub's proxy, to see that the server answers through it (default: not looked at)"
    )
    test.add_argument(
        "--token-file",
        metavar="FILE",
        help="file with the token of a service of JupyterHub (default: $JUPYTERHUB_API_TOKEN). It takes the scopes "
        "admin:users!user=USER and tokens!user=USER",
    )


def _add_await_images(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    images = commands.add_parser(
        "await-images",
        help="wait until the chart's pre-puller has the images on all nodes",
        description="For the hook of the Helm chart. Waits for DaemonSets whose init containers are the images. Nodes "
        "that do not take up their pod within a minute are passed over. Exit status 0: every other node has them; 1: "
        "one cannot be pulled, or it takes too long; 2: Kubernetes does not answer.",
    )
    images.add_argument("daemonset", nargs="+", help="names of the DaemonSets")
    images.add_argument("--namespace", required=True, help="their namespace")
    images.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help="(default: %(default)s)")
    images.add_argument("--kubeconfig", help="(default: the pod's service account, else that of kubectl)")


def _add_scale(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scale = commands.add_parser(
        "scale",
        help="set how many placeholder pods there are",
        description="For the schedules of placeholders in the Helm chart. Exit status 0: it is set; 1: Kubernetes "
        "refuses or does not answer.",
    )
    scale.add_argument("deployment", help="name of the Deployment")
    scale.add_argument("--namespace", required=True, help="its namespace")
    scale.add_argument("--replicas", type=int, required=True, help="how many pods")
    scale.add_argument("--kubeconfig", help="(default: the pod's service account, else that of kubectl)")


def _which_ledger() -> argparse.ArgumentParser:
    """Options that name a ledger."""
    of = argparse.ArgumentParser(add_help=False)
    which = of.add_argument_group("which ledger")
    which.add_argument(
        "--config", default=_default_config(), help="the hub's configuration file (default: %(default)s)"
    )
    which.add_argument("--url", help="a ledger_url instead of the configuration's; ps shows its password")
    which.add_argument("--hub", help="a hub_name, or '*' for all hubs (default: of the configuration; all with --url)")
    return of


def _period() -> argparse.ArgumentParser:
    """Options that choose rows of a ledger."""
    rows = argparse.ArgumentParser(add_help=False)
    rows.add_argument("--user", help="only of this user")
    rows.add_argument("--workspace", help="only of this workspace")
    rows.add_argument(
        "--since", metavar="TIME", help="from then on: 2026-09-21 or 2026-09-21T13:00, in the hub's time zone"
    )
    rows.add_argument("--until", metavar="TIME", help="before then")
    return rows


def _add_simulate(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    which: argparse.ArgumentParser,
    period: argparse.ArgumentParser,
) -> None:
    simulate = commands.add_parser(
        "simulate",
        parents=[which, period],
        help="which past launches a changed configuration would have refused",
        description="Lets all launches in the ledger of a hub happen again under a changed configuration, and tells "
        "which it would have refused, whose, when, and by which rule. Nothing is changed, and the hub may run "
        "meanwhile. What was free in the cluster then is not known and does not count. "
        "Exit status 0: none refused; 1: some; 2: the file or the ledger cannot be read.",
    )
    simulate.add_argument("new_config", metavar="NEW_CONFIG", help="the changed jupyterhub_config.py, or values.yaml")
    simulate.add_argument("--json", action="store_true", help="print every refused launch as JSON")
    simulate.add_argument("--limit", type=int, default=50, help="name at most so many launches (default: %(default)s)")


def _add_ledger(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    of: argparse.ArgumentParser,
    rows: argparse.ArgumentParser,
) -> None:
    ledger = commands.add_parser(
        "ledger",
        help="what was used and charged, and the audit log: as tables, CSV or JSON; the care of its database",
        description="Reads the ledger of a hub, which may go on running; by default that of ./jupyterhub_config.py.",
    )
    actions = ledger.add_subparsers(dest="ledger_command", metavar="COMMAND", required=True)
    export = actions.add_parser("export", parents=[of, rows], help="every session, grant or entry, newest first")
    export.add_argument("what", choices=("sessions", "grants", "audit"))
    export.add_argument("--format", choices=("csv", "json"), default="csv", help="(default: %(default)s)")
    export.add_argument("--output", metavar="FILE", help="a file to write instead of printing")
    usage = actions.add_parser("usage", parents=[of, rows], help="GPU-hours and service units, summed up")
    usage.add_argument("--by", choices=("user", "workspace", "profile", "gpu_class", "hub"), default="user")
    audit = actions.add_parser("audit", parents=[of, rows], help="who did what and when, newest first")
    audit.add_argument("--actor", help="only what this user did")
    audit.add_argument("--action", help="only this: charge, extension, grant, revocation, denial, join, leave ...")
    audit.add_argument("--limit", type=int, default=100, help="at most so many (default: %(default)s)")
    actions.add_parser("migrate", parents=[of], help="make or upgrade the tables, as a hub does when it starts")
    actions.add_parser(
        "check",
        parents=[of],
        help="whether file, tables, charges and audit log agree; exit status 1 where they do not",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status of the process."""
    options = build_parser().parse_args(argv)
    try:
        status: int = import_module(f"gpuspawner.cli.{options.command.replace('-', '_')}").run(options)
    except CommandError as error:
        sys.stdout.flush()
        print(f"gpuspawner {options.command}: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:  # before the command could see to it itself
        return 130
    return status
