"""`gpuspawner engine`: the embedded engine in the foreground, for kubectl, this spawner and any other client."""

import argparse
import asyncio
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuspawner.cli.errors import CommandError
from gpuspawner.local.engine import DEFAULT_IMAGES, Engine, EngineError
from gpuspawner.local.nodes.description import NodesError

__all__ = ["parse_images", "run"]


def run(options: argparse.Namespace) -> int:
    """Run the engine until SIGINT, SIGTERM or SIGHUP; 0 after a clean end."""
    data = Path(options.data_dir).expanduser().absolute()
    try:
        engine = Engine(options.nodes, parse_images(options.image), data_dir=data, port=options.port)
        return asyncio.run(_serve(engine, Path(options.kubeconfig or data / "kubeconfig").absolute()))
    except (NodesError, EngineError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(
            f"the data folder {data} cannot be used: {error}. Choose another with --data-dir."
        ) from error


def parse_images(texts: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Default command by pattern of images, from ``PATTERN[=COMMAND]``; without any, every image runs a server.

    Raises
    ------
    CommandError
        A pattern or a command is empty.
    """
    images: dict[str, Sequence[str]] = {}
    (default,) = DEFAULT_IMAGES.values()
    for text in texts:
        pattern, equals, command = text.partition("=")
        words = shlex.split(command) if equals else default
        if not pattern or not words:
            raise CommandError(
                f"--image '{text}' is not PATTERN or PATTERN=COMMAND, such as '*/pytorch-*=jupyter lab'."
            )
        images[pattern] = words
    return images or DEFAULT_IMAGES


async def _serve(engine: Engine, kubeconfig: Path) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, ended.set)
    await engine.start()
    try:
        engine.write_kubeconfig(kubeconfig)
        if engine.nodes_found:
            print(engine.nodes_found)
        print(
            f"The engine's Kubernetes API is {engine.url}. Look inside: KUBECONFIG={kubeconfig} kubectl get nodes,pods"
        )
        print("Ctrl-C ends it and its pods.", flush=True)
        await ended.wait()
    finally:
        await engine.stop()
    return 0
