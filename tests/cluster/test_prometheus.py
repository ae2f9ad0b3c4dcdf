"""The use of GPUs and CPUs read from a real Prometheus."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from real_prometheus import RealPrometheus, Series

from gpuspawner.activity.prometheus import PrometheusSource, SourceError
from gpuspawner.sessions.idle import Prometheus, Sample

MIB = 2**20
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
USED, CPU = "DCGM_FI_DEV_FB_USED", "container_cpu_usage_seconds_total"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def every_15_s(first: float, last: float, value: float, rate: float = 0.0) -> Iterator[tuple[datetime, float]]:
    for step in range(round(first * 4), round(last * 4) + 1):
        yield at(step / 4), value + rate * step * 15


EXPORTED = {"exported_namespace": "jupyter", "exported_pod": "jupyter-ada", "exported_container": "notebook"}
EXPORTER = {"namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-x7", "gpu": "0", "UUID": "GPU-a", **EXPORTED}
SLICE = {"namespace": "jupyter", "pod": "jupyter-bob", "gpu": "1", "GPU_I_PROFILE": "1g.10gb"}
NOTEBOOK = {"namespace": "jupyter", "pod": "jupyter-ada", "container": "notebook"}
PAST = [
    Series(USED, {**EXPORTER, "cluster": "west"}, [*every_15_s(0, 59.75, 4), *every_15_s(60, 60.5, 9000)]),
    Series(USED, {**EXPORTER, "cluster": "west"}, every_15_s(60.75, 120, 4)),
    Series(USED, {**SLICE, "GPU_I_ID": "1", "cluster": "west"}, every_15_s(0, 120, 10)),
    Series(USED, {**SLICE, "GPU_I_ID": "2", "cluster": "west"}, every_15_s(0, 120, 70)),
    Series(USED, {"gpu": "2", "UUID": "GPU-free", "cluster": "west"}, every_15_s(0, 120, 1)),
    Series(USED, {**EXPORTER, "cluster": "east"}, every_15_s(0, 120, 40000)),
    Series(CPU, {**NOTEBOOK, "cpu": "total", "cluster": "west"}, every_15_s(0, 120, 100, rate=0.25)),
    Series(CPU, {**NOTEBOOK, "container": "", "cluster": "west"}, every_15_s(0, 120, 100, rate=3)),
    Series(CPU, {**NOTEBOOK, "container": "sidecar", "cluster": "west"}, every_15_s(0, 120, 100, rate=3)),
]


@pytest.fixture(scope="module")
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealPrometheus]:
    merged = Series(USED, PAST[0].labels, [*PAST[0].values, *PAST[1].values])
    running = await RealPrometheus.start(tmp_path_factory.mktemp("prometheus") / "p", [merged, *PAST[2:]])
    yield running
    await running.stop()


@pytest.fixture
async def source(prometheus: RealPrometheus) -> AsyncIterator[PrometheusSource]:
    source = PrometheusSource(Prometheus(url=prometheus.url, selector='cluster="west"'), 60)
    yield source
    await source.close()


async def test_a_look_tells_the_use_of_every_pod_whichever_labels_prometheus_has_kept(source: PrometheusSource) -> None:
    found = await source.look(at(30))
    (ada,), (bob,) = found["jupyter", "jupyter-ada"], found["jupyter", "jupyter-bob"]
    assert (ada.at, ada.gpu_memory, ada.cpu and round(ada.cpu, 3)) == (at(30), 4 * MIB, 0.25)
    assert bob == Sample(at(30), 70 * MIB, None)
    assert found.keys() == {("jupyter", "jupyter-ada"), ("jupyter", "jupyter-bob")}


async def test_work_between_two_looks_is_seen(source: PrometheusSource) -> None:
    (ada,) = (await source.look(at(62)))["jupyter", "jupyter-ada"]
    assert ada.gpu_memory == 9000 * MIB
    (ada,) = (await source.look(at(64)))["jupyter", "jupyter-ada"]
    assert ada.gpu_memory == 4 * MIB


async def test_an_exporter_that_fell_silent_says_nothing(source: PrometheusSource) -> None:
    assert len(await source.look(at(121.5))) == 2
    assert await source.look(at(122.5)) == {}


async def test_the_past_is_read_without_a_gap(source: PrometheusSource) -> None:
    samples = (await source.history(at(50), at(70)))["jupyter", "jupyter-ada"]
    assert [sample.at for sample in samples] == [at(minute) for minute in range(50, 71, 2)]
    later = (await source.history(at(51), at(70)))["jupyter", "jupyter-ada"]
    assert (later[0].at, later[-1].at) == (at(52), at(70))
    worked = [sample.at for sample in samples if (sample.gpu_memory or 0) > 150 * MIB]
    assert worked == [at(60), at(62)]


async def test_a_prometheus_that_lacks_what_is_needed_is_doubted(source: PrometheusSource) -> None:
    assert await source.doubts(at(30), cpu=True) == []
    gpu, cpu = await source.doubts(at(300), cpu=True)
    assert gpu.startswith("Prometheus has no DCGM_FI_DEV_FB_USED: is NVIDIA's DCGM exporter scraped?")
    assert cpu.startswith("Prometheus has no container_cpu_usage_seconds_total: is the kubelets' cAdvisor scraped?")
    assert await source.doubts(at(300), cpu=False) == [gpu]
    away = PrometheusSource(Prometheus(url="http://127.0.0.1:9"), 60)
    (doubt,) = await away.doubts(at(30), cpu=True)
    assert "does not answer" in doubt
    await away.close()


async def test_without_a_selector_the_busiest_of_two_clusters_counts(prometheus: RealPrometheus) -> None:
    source = PrometheusSource(Prometheus(url=prometheus.url), 60)
    try:
        (ada,) = (await source.look(at(30)))["jupyter", "jupyter-ada"]
        assert ada.gpu_memory == 40000 * MIB
    finally:
        await source.close()


async def test_a_selector_that_prometheus_does_not_understand_is_told(prometheus: RealPrometheus) -> None:
    source = PrometheusSource(Prometheus(url=prometheus.url, selector="cluster=west"), 60)
    try:
        with pytest.raises(SourceError, match=r"^Prometheus at http://127\.0\.0\.1:\d+ refuses: .*parse error"):
            await source.look(at(30))
    finally:
        await source.close()


async def test_a_prometheus_that_is_away_is_told_and_asked_again(tmp_path: Path) -> None:
    running = await RealPrometheus.start(tmp_path / "p", [Series(USED, EXPORTER, every_15_s(0, 120, 4))])
    source = PrometheusSource(Prometheus(url=running.url), 60)
    try:
        assert await source.look(at(30))
        await running.stop()
        with pytest.raises(SourceError, match="does not answer"):
            await source.look(at(31))
    finally:
        await running.stop()
        await source.close()


@pytest.fixture
async def other() -> AsyncIterator[tuple[str, list[web.Request], list[str]]]:
    """Something that is no Prometheus, or one behind a proxy that wants a token: its URL, requests and answer."""
    asked: list[web.Request] = []
    says = ['{"status": "success", "data": {"result": []}}']

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(text=says[0], status=200 if "success" in says[0] else 503)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}", asked, says
    await runner.cleanup()


async def test_the_token_is_read_anew_each_time(
    other: tuple[str, list[web.Request], list[str]], tmp_path: Path
) -> None:
    url, asked, _ = other
    token = tmp_path / "token"
    source = PrometheusSource(Prometheus(url=url, token_file=str(token)), 60)
    try:
        with pytest.raises(SourceError, match="token for Prometheus cannot be read"):
            await source.look(START)
        for secret in ("one", "two"):
            token.write_text(f"{secret}\n")
            assert await source.look(START) == {}
        assert {one.headers["Authorization"] for one in asked} == {"Bearer one", "Bearer two"}
    finally:
        await source.close()


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("<html>Bad gateway</html>", "answers 503 and no JSON"),
        ("[]", "refuses: 503"),
        ('{"status": "success"}', "does not answer as a Prometheus does"),
        ('{"status": "success", "data": {"result": [{"metric": {"pod": "p", "namespace": "n"}}]}}', "does not answer"),
    ],
)
async def test_what_is_no_prometheus_is_told(
    other: tuple[str, list[web.Request], list[str]], says: str, words: str
) -> None:
    url, _, answer = other
    answer[0] = says
    source = PrometheusSource(Prometheus(url=url), 60)
    try:
        with pytest.raises(SourceError, match=words):
            await source.look(START)
    finally:
        await source.close()
