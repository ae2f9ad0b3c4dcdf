"""How long people wait in the demo, in seconds: for the hub, for a server, for the hub after it was killed.

Run it with `make bench`. The first server is told apart, because it also warms the file cache.
"""

import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from running_demo import Demo, Member

LAUNCHES = 5


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        demo = Demo.start(Path(folder) / "demo")
        rows = [("demo, from the command to its URL", time.monotonic() - began)]
        try:
            member = Member(demo, "student")
            launches = []
            for _ in range(LAUNCHES):
                launches.append(seconds(lambda: member.start_server(profile="pytorch", gpu_class="small")))
                member.stop_server()
            rows += [
                ("first server, from the request until it is ready", launches[0]),
                (f"later servers, median of {LAUNCHES - 1}", statistics.median(launches[1:])),
            ]
            began = time.monotonic()
            demo.child("jupyterhub").send_signal(signal.SIGKILL)
            demo.next_line("JupyterHub is back")
            rows.append(("hub, from kill -9 until it answers", time.monotonic() - began))
        finally:
            rows.append(("end, from Ctrl-C until nothing is left", seconds(demo.end)))
    for what, took in rows:
        print(f"{took:6.1f}  {what}")


if __name__ == "__main__":
    main()
