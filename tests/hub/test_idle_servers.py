"""Servers that nobody uses: warned, ended or started again without their GPU, and told why. On the engine."""

import asyncio
import html
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from accounting import sessions, settled
from cluster import IMAGES, SECTION
from launching import environment, launch, named, stop
from running_hub import Person, RunningHub

from gpuspawner.activity.prometheus import Pod, SourceError
from gpuspawner.activity.watch import IdleWatch
from gpuspawner.budgets.pricing import MICRO
from gpuspawner.local.engine import Engine
from gpuspawner.sessions.idle import IdleState, Sample
from gpuspawner.sessions.lease import EndError, ended_by_text
from gpuspawner.sessions.sessions import Sessions

PATIENCE = 30
MIB = 2**20
NOTHING, WORK = (3 * MIB, 0.02), (9000 * MIB, 2.0)
IDLE: dict[str, Any] = {"after_when_quiet": None}
PYTORCH: dict[str, Any] = {**SECTION["profiles"]["pytorch"], "runtime": {"default": "8h", "max": "8h"}}
PROFILES: dict[str, Any] = {**SECTION["profiles"], "pytorch": PYTORCH}
HOMES: dict[str, Any] = {"size": "1Gi"}


class GPUs:
    """What Prometheus would say of each pod: the same at every time, until a test says otherwise."""

    def __init__(self) -> None:
        self.used: dict[str, tuple[int | None, float | None]] = {}
        self.away = False
        self.asked_for: list[datetime] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def look(self, at: datetime) -> Mapping[Pod, list[Sample]]:
        if self.away:
            raise SourceError("Prometheus is away.")
        if self.meanwhile is not None:
            await self.meanwhile()
        return {("default", pod): [Sample(at, *used)] for pod, used in self.used.items()}

    async def history(self, began: datetime, at: datetime) -> Mapping[Pod, list[Sample]]:
        self.asked_for.append(began)
        if self.away:
            raise SourceError("Prometheus is away.")
        minutes = [at - timedelta(minutes=ago) for ago in range(int((at - began).total_seconds() // 60), -1, -1)]
        return {("default", pod): [Sample(one, *used) for one in minutes] for pod, used in self.used.items()}

    async def close(self) -> None:
        pass


class Lab:
    """A hub whose clock, and what its GPUs do, a test decides."""

    def __init__(self, hub: RunningHub, engine: Engine, gpus: GPUs) -> None:
        self.hub, self.engine, self.gpus = hub, engine, gpus
        self.at = datetime.now(UTC)
        shared = hub.app.tornado_settings
        shared["gpuspawner_launcher"]._clock = lambda: self.at
        self.sessions: Sessions = shared["gpuspawner_sessions"]
        self.watch: IdleWatch = shared["gpuspawner_idle"]
        self.watch._source = gpus

    async def minutes(self, count: int) -> None:
        """Let so many minutes pass, with a look at each."""
        for _ in range(count):
            self.at += timedelta(minutes=1)
            await self.watch.look()
            self.sessions.look()

    def annotations(self, pod: str = "jupyter-ada") -> dict[str, str]:
        found: dict[str, str] = named(self.engine, "pods")[pod]["metadata"]["annotations"]
        return found

    def told(self, user: str = "ada") -> list[str]:
        return [notice.sentence for notice in self.sessions.notices.of(user)]

    def state(self, user: str = "ada", server: str = "") -> IdleState | None:
        verdict = self.watch.verdict(user, server)
        return verdict.state if verdict else None

    def clock(self, minutes: int) -> str:
        return f"{self.at + timedelta(minutes=minutes):%H:%M}"

    def active(self, user: str = "ada", server: str = "") -> bool:
        return bool(self.hub.user(user).spawners[server].active)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - in JupyterHub's objects
                await asyncio.sleep(0.01)

    async def ended(self, pod: str = "jupyter-ada") -> None:
        def gone() -> bool:
            self.at += timedelta(seconds=1)
            self.sessions.look()
            return pod not in named(self.engine, "pods") and not self.active()

        await self.until(gone)


StartLab = Callable[..., Awaitable[Lab]]


@pytest.fixture
def gpus() -> GPUs:
    return GPUs()


@pytest.fixture
def start_lab(start_gpu_hub: Any, engine: Engine, gpus: GPUs) -> StartLab:
    """A hub where Ada's server with a GPU has just started, and does nothing."""

    async def start(
        options: Mapping[str, Any] | None = None, *, workspace: Mapping[str, Any] | None = None, **changes: Any
    ) -> Lab:
        spaces = {"everyone": {"members": "*", "quota": {"small": 4}, **(workspace or {})}}
        hub = await start_gpu_hub(**{"idle": IDLE, "workspaces": spaces, "profiles": PROFILES, **changes})
        await hub.login("ada", "x")
        said = await launch(hub, "ada", {"profile": "pytorch", "gpu_class": "small", **(options or {})})
        assert said == ""
        gpus.used["jupyter-ada"] = NOTHING
        return Lab(hub, engine, gpus)

    return start


async def page(person: Person, path: str = "home") -> str:
    answer = await person.get(path)
    return " ".join(html.unescape(await answer.text()).split())


async def shown(lab: Lab) -> dict[str, Any]:
    """What the API says of a server's idleness, asked with the server's own token."""
    variables = await environment(lab.hub, "ada")
    headers = {"Authorization": f"token {variables['JUPYTERHUB_API_TOKEN']}"}
    url = f"{variables['JUPYTERHUB_API_URL']}/gpuspawner/sessions/ada"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        (found,) = (await answer.json())["sessions"]
        told: dict[str, Any] = found["idle"]
        return told


async def test_who_does_not_use_a_gpu_is_warned_then_the_server_ends_and_the_next_page_says_why(
    start_lab: StartLab,
) -> None:
    lab = await start_lab()
    began = lab.clock(0)
    await lab.minutes(59)
    assert lab.state() == IdleState.ACTIVE
    assert (await shown(lab))["state"] == "active"
    assert "gpuspawner/idle-ends" not in lab.annotations()
    assert lab.told() == []
    await lab.minutes(1)
    assert lab.state() == IdleState.WARNED
    (told,) = lab.told()
    assert told == (
        f"Your server ends in 30 min, at {lab.clock(30)}: its GPU has not been used since {began}. "
        "Your files are kept. Use the GPU, and it stays."
    )
    assert (await shown(lab))["state"] == "warned"
    said = json.loads(lab.annotations()["gpuspawner/idle"])
    ends = datetime.fromisoformat(lab.annotations()["gpuspawner/idle-ends"])
    assert said["state"] == "warned"
    assert said["why"].startswith(f"Its GPU was idle from {began} on: ")
    assert timedelta(minutes=29) < ends - lab.at <= timedelta(minutes=30)
    await lab.minutes(25)
    assert "ends in 5 min" in lab.told()[0]
    await lab.minutes(4)
    assert lab.active()
    await lab.minutes(1)
    await lab.ended()
    told = await page(await lab.hub.login("ada", "x"))
    assert "Your server ended" in told
    assert f"Its GPU was idle from {began} on: no more than 150 MiB of GPU memory and 0.1 CPU cores" in told
    assert lab.hub.app.tornado_settings["gpuspawner_launcher"].usage() == []


async def test_who_works_again_after_the_warning_keeps_the_server(start_lab: StartLab, gpus: GPUs) -> None:
    lab = await start_lab()
    await lab.minutes(70)
    assert lab.state() == IdleState.WARNED
    gpus.used["jupyter-ada"] = WORK
    await lab.minutes(1)
    assert lab.state() == IdleState.ACTIVE
    assert lab.told() == []
    assert not {"gpuspawner/idle", "gpuspawner/idle-ends"} & lab.annotations().keys()
    gpus.used["jupyter-ada"] = NOTHING
    await lab.minutes(59)
    assert lab.state() == IdleState.ACTIVE
    assert lab.active()


async def test_a_workspace_may_start_the_server_again_without_its_gpu_on_the_same_home(start_lab: StartLab) -> None:
    lab = await start_lab(workspace={"idle_gpu": "downgrade"}, storage=HOMES)
    first = named(lab.engine, "pods")["jupyter-ada"]
    await lab.minutes(61)
    (told,) = lab.told()
    assert told.endswith("It then starts again without GPU. Your files are kept. Use the GPU, and it stays.")
    await lab.minutes(31)
    await lab.until(
        lambda: named(lab.engine, "pods").get("jupyter-ada", first)["metadata"]["uid"] != first["metadata"]["uid"]
    )
    await lab.until(lambda: lab.hub.user("ada").spawners[""].ready)
    second = named(lab.engine, "pods")["jupyter-ada"]
    assert second["spec"]["volumes"][0] == first["spec"]["volumes"][0]
    assert "nvidia.com/gpu" in first["spec"]["containers"][0]["resources"]["limits"]
    assert "nvidia.com/gpu" not in second["spec"]["containers"][0]["resources"]["limits"]
    assert second["spec"]["activeDeadlineSeconds"] == pytest.approx(8 * 3600 - 91 * 60, abs=120)
    (held,) = lab.hub.app.tornado_settings["gpuspawner_launcher"].usage()
    assert (held.gpus, held.workspace) == (0, "everyone")
    told = " ".join(lab.told())
    assert "Your server was started again without its GPU. Its GPU was idle from" in told
    assert "Your files are as they were; what was in memory is gone." in told
    routes = lab.hub.app.proxy.routes
    assert "/user/ada/" in routes
    await stop(lab.hub, "ada")
    assert "/user/ada/" not in routes


async def test_the_hold_that_a_downgrade_does_not_need_is_given_back(start_lab: StartLab) -> None:
    budget = {"per_member": 10, "renews": "never"}
    lab = await start_lab(workspace={"idle_gpu": "downgrade", "budget": budget})
    launcher = lab.hub.app.tornado_settings["gpuspawner_launcher"]
    await settled(launcher)
    assert launcher.accounts.member("everyone", "ada", lab.at).held == 8 * MICRO
    await lab.minutes(92)
    await lab.until(lambda: any("without its GPU" in told for told in lab.told()))
    await settled(launcher)
    first, second = sorted(await sessions(launcher), key=lambda session: session.opened)
    assert (first.gpus, first.cause) == (1, "downgraded")
    assert first.started
    assert first.ended
    assert first.charged == pytest.approx((first.ended - first.started).total_seconds() * MICRO / 3600, abs=300)
    assert (second.gpus, second.held, second.ended) == (0, 0, None)
    account = launcher.accounts.member("everyone", "ada", lab.at)
    assert (account.held, account.spent) == (0, first.charged)


async def test_a_downgrade_that_a_hub_had_begun_is_finished_by_the_next_one(
    start_lab: StartLab, start_gpu_hub: Any
) -> None:
    lab = await start_lab(workspace={"idle_gpu": "downgrade"})
    begun = ended_by_text(EndError("downgraded", "Its GPU was idle.", "It is started again without GPU."))
    pod = lab.engine.store.get("pods", "default", "jupyter-ada")
    pod["metadata"]["annotations"]["gpuspawner/ended-by"] = begun
    spaces = {"everyone": {"members": "*", "quota": {"small": 4}, "idle_gpu": "downgrade"}}
    await lab.watch.close()
    await lab.sessions.close()  # a hub that died before it stopped the server
    lab.engine.store.update("pods", pod)
    hub = await start_gpu_hub(idle=IDLE, workspaces=spaces, profiles=PROFILES)
    await hub.login("ada", "x")
    notices = hub.app.tornado_settings["gpuspawner_sessions"].notices
    await lab.until(lambda: any("started again without its GPU" in one.sentence for one in notices.of("ada")))
    limits = named(lab.engine, "pods")["jupyter-ada"]["spec"]["containers"][0]["resources"]["limits"]
    assert "nvidia.com/gpu" not in limits
    assert hub.user("ada").spawners[""].ready


async def test_a_downgraded_server_that_dies_later_is_noticed_as_any_other(start_lab: StartLab) -> None:
    lab = await start_lab(workspace={"idle_gpu": "downgrade"})
    await lab.minutes(92)
    await lab.until(lambda: lab.hub.user("ada").spawners[""].ready and not lab.sessions.leases()[0].warned)
    lab.engine.store.delete("pods", "default", "jupyter-ada", grace_seconds=0)
    await lab.until(lambda: not lab.active())
    assert "deleted from outside the hub" in await page(await lab.hub.login("ada", "x"))
    assert lab.hub.app.proxy.routes.keys() == {"/"} or "/user/ada/" not in lab.hub.app.proxy.routes


async def test_a_downgrade_that_is_refused_is_told(start_lab: StartLab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = await start_lab(workspace={"idle_gpu": "downgrade"})
    await lab.minutes(61)
    monkeypatch.setattr(
        "gpuspawner.spawner.current_workspaces", lambda user, at: frozenset()
    )  # as where the workspace has ended since
    await lab.minutes(31)
    await lab.until(lambda: lab.told() and "could not" in lab.told()[-1])
    assert lab.told()[-1].endswith(
        "It could not be started again without GPU. You do not belong to any workspace that is open today. Ask your "
        "instructor, your lab or the administrator to add you to one."
    )
    assert not lab.active()


async def test_a_profile_that_needs_a_gpu_is_ended_where_others_are_downgraded(start_lab: StartLab) -> None:
    profiles = {"pytorch": {**PYTORCH, "gpus": {"default": 1, "min": 1}}}
    lab = await start_lab(workspace={"idle_gpu": "downgrade"}, profiles=profiles)
    await lab.minutes(61)
    assert "without GPU" not in lab.told()[0]
    await lab.minutes(31)
    await lab.ended()


async def test_a_server_that_starts_while_the_old_one_is_looked_at_is_not_taken_for_it(
    start_lab: StartLab, gpus: GPUs
) -> None:
    lab = await start_lab()
    await lab.minutes(61)
    assert lab.state() == IdleState.WARNED

    async def restart() -> None:
        gpus.meanwhile = None
        await stop(lab.hub, "ada")
        assert await launch(lab.hub, "ada", {"profile": "pytorch", "gpu_class": "small"}) == ""

    gpus.meanwhile = restart
    lab.at += timedelta(minutes=1)
    await lab.watch.look()
    lab.sessions.look()
    (lease,) = lab.sessions.leases()
    assert [end.kind for end in lab.sessions.ends(lease)] == ["runtime"]
    assert "gpuspawner/idle" not in lab.annotations()
    assert lab.told() == []


async def test_a_workspace_may_keep_servers_whose_gpu_is_idle(start_lab: StartLab) -> None:
    lab = await start_lab(workspace={"idle_gpu": "keep"})
    await lab.minutes(110)
    assert lab.active()
    assert lab.told() == []
    assert json.loads(lab.annotations()["gpuspawner/idle"])["state"] == "idle"
    assert "gpuspawner/idle-ends" not in lab.annotations()


async def test_a_quiet_class_is_patient_until_it_fills_up(start_lab: StartLab, gpus: GPUs) -> None:
    lab = await start_lab(idle={})
    await lab.minutes(80)
    assert lab.state() == IdleState.IDLE
    assert lab.told() == []
    assert await launch(lab.hub, "ada", {"profile": "pytorch", "gpu_class": "small"}, server="second") == ""
    gpus.used["jupyter-ada--second"] = WORK
    await lab.minutes(1)
    assert lab.state() == IdleState.WARNED
    assert "ends in 30 min" in lab.told()[0]
    await stop(lab.hub, "ada", "second")
    await lab.minutes(1)
    assert lab.state() == IdleState.IDLE
    assert lab.told() == []


@pytest.mark.parametrize("text", ["t4-shared4=1x2", "t4-mps4=1x2"])
async def test_the_values_of_a_shared_gpu_end_nothing(
    text: str, tmp_path: Path, start_gpu_hub: Any, engine: Engine, gpus: GPUs, start_hub: Any
) -> None:
    accepts = [{"resource": "nvidia.com/gpu", "product": "Tesla-T4-SHARED"}]
    classes = {"small": {"accepts": accepts}, "medium": SECTION["gpu_classes"]["medium"]}
    shared = Engine(nodes=text, images=IMAGES, data_dir=tmp_path / "shared", stop_grace=1.0)
    await shared.start()
    try:
        kubeconfig = tmp_path / "shared-kubeconfig"
        shared.write_kubeconfig(kubeconfig)
        spaces = {"everyone": {"members": "*"}}
        hub = await start_gpu_hub(
            idle=IDLE,
            gpu_classes=classes,
            profiles=PROFILES,
            workspaces=spaces,
            connect={"kubeconfig": str(kubeconfig)},
        )
        await hub.login("ada", "x")
        assert await launch(hub, "ada", {"profile": "pytorch", "gpu_class": "small"}) == ""
        gpus.used["jupyter-ada"] = NOTHING
        lab = Lab(hub, shared, gpus)
        await lab.minutes(110)
        assert lab.state() == IdleState.UNKNOWN
        assert lab.active()
        assert lab.told() == []
        await stop(hub, "ada")
    finally:
        await start_hub()
        await shared.stop()


async def test_while_the_source_is_silent_nothing_ends(
    start_lab: StartLab, gpus: GPUs, caplog: pytest.LogCaptureFixture
) -> None:
    lab = await start_lab()
    await lab.minutes(61)
    assert lab.state() == IdleState.WARNED
    gpus.away = True
    await lab.minutes(11)
    assert lab.state() == IdleState.UNKNOWN
    assert lab.told() == []
    await lab.minutes(30)
    assert lab.active()
    said = "Prometheus is away. No server ends for an idle GPU until it does."
    assert [record.getMessage() for record in caplog.records].count(said) == 1


async def test_a_hub_that_has_slept_looks_before_it_ends_what_was_planned(start_lab: StartLab) -> None:
    lab = await start_lab()
    await lab.minutes(61)
    assert lab.state() == IdleState.WARNED
    lab.at += timedelta(hours=2)
    lab.sessions.look()
    (lease,) = lab.sessions.leases()
    assert [end.kind for end in lab.sessions.ends(lease)] == ["runtime"]
    await lab.minutes(1)
    assert lab.state() == IdleState.ACTIVE
    assert lab.told() == []
    assert lab.active()


async def test_a_hub_that_restarts_keeps_its_word_and_warns_once(
    start_lab: StartLab, start_gpu_hub: Any, gpus: GPUs, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    lab = await start_lab(notify_hook=lambda notice: sent.append(notice.sentence))
    began = lab.at
    await lab.minutes(70)
    promised = lab.annotations()["gpuspawner/idle-ends"]
    await lab.until(lambda: "gpuspawner/warned-idle" in lab.annotations() and sent)
    times = [lab]
    monkeypatch.setattr("gpuspawner.launcher.Launcher.now", lambda self: times[-1].at)
    hub = await start_gpu_hub(
        idle=IDLE,
        profiles=PROFILES,
        workspaces={"everyone": {"members": "*", "quota": {"small": 4}}},
        notify_hook=lambda notice: sent.append(notice.sentence),
    )
    await hub.login("ada", "x")
    after = Lab(hub, lab.engine, gpus)
    await after.until(lambda: after.sessions.leases())
    after.at = lab.at
    times.append(after)
    await after.minutes(1)
    assert gpus.asked_for[-1] < began + timedelta(minutes=1)
    assert after.state() == IdleState.WARNED
    assert after.annotations()["gpuspawner/idle-ends"] == promised
    assert len(after.told()) == 1
    assert len(sent) == 1
    await after.minutes(21)
    await after.ended()


async def test_a_server_without_gpu_goes_by_what_jupyterhub_knows(start_lab: StartLab) -> None:
    lab = await start_lab({"profile": "cpu", "gpu_class": ""}, idle={"cpu_servers": "1h"})
    at = lab.at
    await lab.minutes(40)
    assert lab.told()[0].startswith("Your server ends in ")
    assert "it has not been used since" in lab.told()[0]
    body = {"servers": {"": {"last_activity": lab.at.isoformat()}}, "last_activity": lab.at.isoformat()}
    assert (await lab.hub.api("POST", "users/ada/activity", json=body)).status == 200
    await lab.minutes(20)
    assert lab.told() == []
    assert lab.state() == IdleState.IDLE
    await lab.minutes(41)
    await lab.ended()
    told = await page(await lab.hub.login("ada", "x"))
    assert f"It was not used from {at + timedelta(minutes=40):%H:%M} on." in told
    assert "Start it again" in told


async def test_a_profile_s_own_idle_time_needs_no_policy_and_never_is_for_ever(start_lab: StartLab) -> None:
    profiles = {"cpu": {**PROFILES["cpu"], "idle": "20m"}, "pytorch": {**PYTORCH, "idle": "never"}}
    lab = await start_lab(idle=None, profiles=profiles)
    assert lab.annotations()["gpuspawner/idle-after"] == "0"
    assert await launch(lab.hub, "ada", {"profile": "cpu"}, server="second") == ""
    await lab.minutes(15)
    assert lab.state() is None
    assert lab.state(server="second") == IdleState.WARNED
    await lab.minutes(20)
    await lab.until(lambda: not lab.active(server="second"))
    await lab.minutes(80)
    assert lab.active()


async def test_without_a_policy_nobody_watches(start_gpu_hub: Any) -> None:
    hub = await start_gpu_hub()
    await hub.login("ada", "x")
    assert await launch(hub, "ada", {"profile": "cpu"}) == ""
    assert "gpuspawner_idle" not in hub.app.tornado_settings
    assert not [name for name in await environment(hub, "ada") if name.startswith("GPUSPAWNER_ACTIVITY")]
    assert (await hub.api("POST", "gpuspawner/activity", json={})).status == 403


async def report(lab: Lab, token: str, body: Any) -> tuple[int, dict[str, Any]]:
    url = (await environment(lab.hub, "ada"))["GPUSPAWNER_ACTIVITY_URL"]
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=body) as answer:
        found: dict[str, Any] = await answer.json()
        return answer.status, found


def sample(lab: Lab, minutes: int, used: tuple[int | None, float | None] = NOTHING) -> dict[str, Any]:
    at = lab.at + timedelta(minutes=minutes)
    return {"at": at.isoformat(), "gpu_memory": used[0], "cpu": used[1]}


async def test_a_server_s_own_token_is_enough_to_report_its_use(start_lab: StartLab, gpus: GPUs) -> None:
    lab = await start_lab()
    gpus.used.clear()
    variables = await environment(lab.hub, "ada")
    token = variables["JUPYTERHUB_API_TOKEN"]
    assert variables["GPUSPAWNER_ACTIVITY_EVERY"] == "60"
    first = lab.at + timedelta(minutes=1)
    for _ in range(61):
        await lab.minutes(1)
        status, told = await report(lab, token, {"server": "", "samples": [sample(lab, 0)]})
        assert status == 200
    assert datetime.fromisoformat(told["known_from"]) == first
    await lab.minutes(1)
    assert lab.state() == IdleState.WARNED
    assert (await report(lab, token, {"samples": [sample(lab, 0, WORK)]}))[0] == 200
    await lab.minutes(1)
    assert lab.state() == IdleState.ACTIVE


async def test_a_report_is_refused_in_words(start_lab: StartLab) -> None:
    lab = await start_lab()
    token = (await environment(lab.hub, "ada"))["JUPYTERHUB_API_TOKEN"]
    good = {"server": "", "samples": [sample(lab, 0)]}
    other = lab.hub.user((await lab.hub.login("bob", "x")).name).new_api_token()
    assert (await report(lab, "nobody-s", good))[0] == 403
    status, told = await report(lab, other, good)
    assert (status, told["code"], told["reason"]) == (404, "not_found", "The hub knows no running server of that name.")
    status, told = await report(lab, token, {"server": "", "samples": []})
    assert (status, told["code"]) == (400, "bad_request")
    assert told["remedy"].startswith("Install the same version of gpuspawner")
    assert (await report(lab, token, {**good, "server": "second"}))[0] == 404
    narrow = lab.hub.user("ada").new_api_token(scopes=["read:users!user"])
    status, told = await report(lab, narrow, good)
    assert (status, told["code"]) == (403, "forbidden")


async def test_a_hub_that_restarts_is_told_the_past_by_the_notebook(start_lab: StartLab, gpus: GPUs) -> None:
    lab = await start_lab()
    gpus.used.clear()
    token = (await environment(lab.hub, "ada"))["JUPYTERHUB_API_TOKEN"]
    lab.at += timedelta(minutes=65)
    _, told = await report(lab, token, {"samples": [sample(lab, 0)]})
    assert datetime.fromisoformat(told["known_from"]) == lab.at
    await lab.watch.look()
    assert lab.state() == IdleState.ACTIVE
    await report(lab, token, {"samples": [sample(lab, minute - 65) for minute in range(66)]})
    await lab.watch.look()
    assert lab.state() == IdleState.WARNED
