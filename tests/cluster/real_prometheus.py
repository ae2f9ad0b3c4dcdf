"""A real Prometheus on loopback with a past that a test has written: what an exporter said, minute by minute."""

import asyncio
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp

_PATIENCE = 60


@dataclass(frozen=True)
class Series:
    """One series: its metric, labels, and (time, value) pairs."""

    metric: str
    labels: Mapping[str, str]
    values: Iterable[tuple[datetime, float]]


def openmetrics(series: Iterable[Series]) -> str:
    """Series as promtool reads them, by metric."""
    lines: list[str] = []
    for metric in sorted({one.metric for one in series}):
        kind = "counter" if metric.endswith("_total") else "gauge"
        lines.append(f"# TYPE {metric.removesuffix('_total')} {kind}")
        for one in series:
            if one.metric == metric:
                labels = ",".join(f'{name}="{value}"' for name, value in one.labels.items())
                lines += [f"{metric}{{{labels}}} {value} {at.timestamp():.3f}" for at, value in one.values]
    return "\n".join([*lines, "# EOF", ""])


def _written(folder: Path, series: Iterable[Series]) -> tuple[Path, Path, Path]:
    folder.mkdir(parents=True)
    past, data, config = folder / "past.txt", folder / "data", folder / "prometheus.yml"
    past.write_text(openmetrics(list(series)))
    config.write_text("scrape_configs: []\n")
    return past, data, config


class RealPrometheus:
    """Debian's ``prometheus`` in a folder of its own."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, url: str) -> None:
        self.folder = folder
        self.url = url
        self._process = process

    @classmethod
    async def start(cls, folder: Path, series: Iterable[Series], *flags: str) -> "RealPrometheus":
        """Write the past, and wait until it can be asked for."""
        program, tool = shutil.which("prometheus"), shutil.which("promtool")
        assert program is not None, "the tests use prometheus; on Debian: sudo apt-get install prometheus"
        assert tool is not None, "the tests use promtool, which comes with prometheus"
        past, data, config = _written(folder, series)
        made = await asyncio.create_subprocess_exec(
            tool, "tsdb", "create-blocks-from", "openmetrics", str(past), str(data), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await made.communicate()
        assert made.returncode == 0, said.decode()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address=127.0.0.1:{port}",
            *flags,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
        )
        running = cls(folder, process, f"http://127.0.0.1:{port}")
        try:
            async with asyncio.timeout(_PATIENCE):
                await running._ready()
        except BaseException:
            await running.stop()
            raise
        return running

    async def _ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            while self._process.returncode is None:
                try:
                    async with session.get(f"{self.url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    async def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
