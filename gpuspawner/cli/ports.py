"""TCP ports: is one free, and which ones are."""

import errno
import socket
from contextlib import ExitStack

from gpuspawner.cli.errors import CommandError

__all__ = ["check_free", "free_ports"]


def check_free(ip: str, port: int, remedy: str) -> None:
    """Do nothing if `ip`:`port` can be listened on.

    Raises
    ------
    CommandError
        It cannot; the text names the port, the cause and `remedy`.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ip, port))
            listener.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                cause = "is already in use"
            elif error.errno == errno.EACCES:
                cause = "is reserved for root"
            else:
                cause = f"cannot be used on {ip} ({error.strerror})"
            raise CommandError(f"port {port} {cause}. {remedy}") from error


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports that nobody listens on at 127.0.0.1 now."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
