"""Runs a command that cannot outlive its parent: `python tied.py PARENT_PID COMMAND...`.

A script of its own, because the request must be made in the child itself, between fork and exec, and Python code in
that gap (``preexec_fn``) can deadlock beside threads. It needs only the standard library and is gone with exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when the thread that forked it ends; survives exec. Linux only."""


def main(parent: int, command: list[str]) -> None:
    """Ask for SIGTERM at the parent's death, then become `command`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the command is the supervisor's own


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
