"""What containers print is kept, capped, and read as kubectl asks."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gpuspawner.local.kubelet.logs import ContainerLog, LogOptions


async def text(log: ContainerLog, options: LogOptions | None = None) -> str:
    return b"".join([chunk async for chunk in log.read(options or LogOptions())]).decode()


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


async def test_lines_are_kept_whole_and_in_order(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"problem\n")
    log.write("stdout", b"o\nlast")
    assert await text(log) == "one\nproblem\ntwo\n"
    log.close()
    assert await text(log) == "one\nproblem\ntwo\nlast"
    assert [line.split(b" ")[1] for line in (tmp_path / "0.log").read_bytes().splitlines()] == [
        b"stdout",
        b"stderr",
        b"stdout",
        b"stdout",
    ]


async def test_a_reader_chooses_the_lines(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(10)))
    assert await text(log, LogOptions(tail_lines=2)) == "line 8\nline 9\n"
    assert await text(log, LogOptions(tail_lines=0)) == ""
    assert await text(log, LogOptions(limit_bytes=10)) == "line 0\nlin"
    assert await text(log, LogOptions(since=datetime.now(UTC) + timedelta(hours=1))) == ""
    stamped = await text(log, LogOptions(tail_lines=1, timestamps=True))
    stamp, rest = stamped.split(" ", 1)
    assert rest == "line 9\n"
    assert abs(datetime.fromisoformat(stamp) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_a_log_is_capped(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log", max_bytes=10_000)
    for number in range(1000):
        log.write("stdout", b"%06d %s\n" % (number, b"x" * 80))
    assert sum(sizes(tmp_path)) <= 20_000
    kept = (await text(log)).splitlines()
    assert kept[-1].startswith("000999")
    assert [line[:6] for line in kept] == [f"{number:06d}" for number in range(1000 - len(kept), 1000)]
    log.remove()
    assert sizes(tmp_path) == []


async def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stdout", b"x" * 100_000)
    log.close()
    assert await text(log) == "x" * 100_000


async def test_a_follower_sees_every_line_until_the_end_even_across_rotations(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log", max_bytes=2_000)
    seen: list[bytes] = []
    begun = asyncio.Event()

    async def follow() -> None:
        async for chunk in log.read(LogOptions(follow=True)):
            seen.append(chunk)
            begun.set()

    log.write("stdout", b"first\n")
    reader = asyncio.create_task(follow())
    await begun.wait()
    for number in range(200):
        log.write("stdout", b"line %d\n" % number)
        if number % 20 == 0:
            await asyncio.sleep(0)
    log.close()
    await asyncio.wait_for(reader, 10)
    lines = b"".join(seen).decode().splitlines()
    assert lines == ["first", *(f"line {number}" for number in range(200))]


def test_the_last_words_are_eighty_lines_or_two_kilobytes(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log")
    log.write("stderr", b"".join(b"%d\n" % number for number in range(200)))
    assert log.last_words().splitlines() == [str(number) for number in range(120, 200)]
    log.write("stderr", b"y" * 5000 + b"\n")
    assert log.last_words() == "y" * 2047 + "\n"
