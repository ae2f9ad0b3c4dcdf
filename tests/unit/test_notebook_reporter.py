"""The extension of the notebook server tells the hub what it uses, and again what the hub has forgotten."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gpuspawner.activity.report import read_report
from gpuspawner.errors import BadRequestError
from gpuspawner.notebook.reporter import Reporter

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Notebook:
    """A server with a clock of its own, and a hub that answers as it is told."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.memory: list[int | None] = []
        self.heard: list[list[int]] = []
        self.knows_from: datetime | None = START
        self.reporter = Reporter(
            "", 60, self.post, lambda: self.memory.pop(0) if self.memory else 0, lambda: 0.5, self.now, self.sleep
        )

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def post(self, report: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.knows_from is None:
            raise OSError("connection refused")
        when = [one.at for one in read_report(report).samples]
        self.heard.append([round((at - START).total_seconds() / 60) for at in when])
        return {"known_from": self.knows_from.isoformat()}

    async def minute(self, count: int = 1) -> None:
        for _ in range(count):
            await self.reporter.take_sample()
            await self.reporter.report()


async def test_each_minute_is_reported_once() -> None:
    notebook = Notebook()
    await notebook.minute(3)
    assert notebook.heard == [[1], [2], [3]]


async def test_a_minute_s_sample_is_the_most_that_was_in_use() -> None:
    notebook = Notebook()
    notebook.memory = [None, 5, 900, 7]
    await notebook.reporter.take_sample()
    (sample,) = notebook.reporter._samples
    assert (sample["gpu_memory"], sample["cpu"]) == (900, 0.5)


async def test_what_a_hub_that_is_away_misses_it_is_told_later(caplog: pytest.LogCaptureFixture) -> None:
    notebook = Notebook()
    await notebook.minute()
    notebook.knows_from = None
    await notebook.minute(3)
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 1
    notebook.knows_from = START
    await notebook.minute()
    assert notebook.heard == [[1], [2, 3, 4, 5]]


async def test_a_hub_that_has_forgotten_is_told_everything_again() -> None:
    notebook = Notebook()
    await notebook.minute(3)
    notebook.knows_from = START + timedelta(minutes=4)
    await notebook.minute()
    notebook.knows_from = START + timedelta(minutes=1)
    await notebook.minute(2)
    assert notebook.heard == [[1], [2], [3], [4], [1, 2, 3, 4, 5], [6]]


async def test_what_is_kept_does_not_grow_for_ever() -> None:
    notebook = Notebook()
    notebook.knows_from = None
    await notebook.minute(1000)
    assert len(notebook.reporter._samples) == 720


def test_without_the_hub_s_wish_there_is_no_reporter() -> None:
    asked = {"GPUSPAWNER_ACTIVITY_URL": "http://hub/hub/api/gpuspawner/activity", "JUPYTERHUB_API_TOKEN": "t"}
    assert Reporter.from_environment({}) is None
    assert Reporter.from_environment({**asked, "JUPYTERHUB_API_TOKEN": ""}) is None
    found = Reporter.from_environment({**asked, "JUPYTERHUB_SERVER_NAME": "thesis", "GPUSPAWNER_ACTIVITY_EVERY": "30"})
    assert found is not None
    assert (found.server, found.every) == ("thesis", 30.0)
    mistaken = Reporter.from_environment({**asked, "GPUSPAWNER_ACTIVITY_EVERY": "often"})
    assert mistaken is not None
    assert mistaken.every == 60.0


def report(*samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"server": "", "samples": list(samples), **more}


def test_a_report_is_read_and_the_future_counts_as_now() -> None:
    read = read_report(
        report(
            {"at": "2026-11-23T09:05:00Z", "gpu_memory": 5, "cpu": 1},
            {"at": "2026-11-23T09:01:00+00:00"},
            {"at": "2026-11-23T08:59:00+00:00", "cpu": 0.5},
            {"at": "2027-11-23T08:59:00+00:00", "cpu": 0.5},
        )
    )
    now = START + timedelta(minutes=4)
    samples = read.within(START, now)
    assert [sample.at for sample in samples] == [START + timedelta(minutes=1), now]
    assert (samples[1].gpu_memory, samples[1].cpu) == (5, 1.0)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        report(),
        report({"at": "2026-11-23T09:05:00"}),
        report({"at": "yesterday"}),
        report({"at": "2026-11-23T09:05:00Z", "gpu_memory": -1}),
        report({"at": "2026-11-23T09:05:00Z", "gpu_memory": 1.5}),
        report({"at": "2026-11-23T09:05:00Z", "gpu_memory": True}),
        report({"at": "2026-11-23T09:05:00Z", "cpu": float("nan")}),
        report({"at": "2026-11-23T09:05:00Z", "cpu": float("inf")}),
        report(*[{"at": "2026-11-23T09:05:00Z"}] * 1001),
        {"server": 5, "samples": [{"at": "2026-11-23T09:05:00Z"}]},
    ],
)
def test_a_report_that_is_none_is_refused_in_words(body: Any) -> None:
    with pytest.raises(BadRequestError) as error:
        read_report(body)
    assert error.value.reason.startswith("The report of use cannot be understood: ")
