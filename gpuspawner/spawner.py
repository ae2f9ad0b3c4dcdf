"""JupyterHub's Spawner: start, stop, poll and progress of one server, over the hub's one ``Launcher``."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from inspect import isawaitable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers.pages import SpawnHandler
from jupyterhub.spawner import Spawner
from jupyterhub.utils import make_ssl_context
from sqlalchemy.orm import Session
from traitlets import default

from gpuspawner._compat import SpawnRefused
from gpuspawner.authenticator import WorkspaceAuthenticator, current_workspaces
from gpuspawner.budgets.estimate import say_cost
from gpuspawner.companions import dns_name, namespace_of
from gpuspawner.config import KEYS, Settings, load_settings, with_profiles
from gpuspawner.ending import Ending
from gpuspawner.errors import BadRequestError, DeniedError, LaunchError
from gpuspawner.feed import Feed
from gpuspawner.launcher import Launcher
from gpuspawner.membership.log import entry_of
from gpuspawner.metrics.hub import counted, measure
from gpuspawner.pod import HookError, Server, pod_name
from gpuspawner.reports.launching import Launching, launching_of
from gpuspawner.request import LaunchRequest, parse_request
from gpuspawner.server import CERTIFICATES_PATH
from gpuspawner.sessions.hub_sessions import begin_sessions
from gpuspawner.sessions.idle_servers import report_variables
from gpuspawner.sessions.sessions import Sessions
from gpuspawner.traits import SpawnerTraits
from gpuspawner.web.form import describe_launch
from gpuspawner.web.launch_page import launch_form, note_choice
from gpuspawner.web.options import options_from_form, take_link
from gpuspawner.web.remedies import remedies_for

__all__ = ["GPUSpawner"]

_LAUNCHER = "gpuspawner_launcher"
_SESSIONS = "gpuspawner_sessions"
_FIRST_SYNC = 5.0
_ANY_TIME = 7 * 24 * 3600
_MARGIN = 60
_RECOVERY = 1800
_WATCHED = 30.0
"""Seconds after which the member of a launch may have stopped to watch it."""


class ProfilesError(LaunchError):
    """The administrator's function that returns a user's profiles failed, or returned what is none."""

    code = "profiles"

    def __init__(self) -> None:
        super().__init__("the profiles on offer to you cannot be told.", "Tell the administrator; the log has it.")


class GPUSpawner(SpawnerTraits, Spawner):  # type: ignore[misc]  # JupyterHub is untyped
    """Asks Kubernetes for a pod with the GPU a member picked, within the quota of their workspace."""

    launch_summary = ""
    """What is being started, in words, for the page of a launch under way."""
    ended_by: LaunchError | None = None
    """Why the hub itself ends the server that runs."""

    _launch_feed: Feed | None = None
    _gpus = 0
    _certificates: Mapping[str, str] = MappingProxyType({})
    _mine: Settings | None = None
    _withdrawn = False
    _stop_wanted = False
    _ending: Ending | None = None
    start_timeout: int
    _longest: int = _ANY_TIME
    _resolved_timeout: int = 0
    _pod_runs = False

    @default("ip")
    def _default_ip(self) -> str:
        return "0.0.0.0"  # noqa: S104  # inside the pod

    @default("port")
    def _default_port(self) -> int:
        return 8888

    @default("ssl_alt_names")
    def _default_ssl_alt_names(self) -> list[str]:
        pod, namespace = pod_name(self.user.name, self.name), namespace_of(self.user.name, self.settings)
        host = dns_name(self.user.name, self.name, self.settings)
        return [f"DNS:{name}" for name in (host, pod, f"{pod}.{namespace}", f"{pod}.{namespace}.svc")]

    @default("ssl_alt_names_include_local")
    def _default_ssl_alt_names_include_local(self) -> bool:
        return False

    @default("start_timeout")
    def _default_start_timeout(self) -> int:
        """Seconds for all of a launch, where a site sets it; without that the phases of the profile decide."""
        return _ANY_TIME

    @default("http_timeout")
    def _default_http_timeout(self) -> int:
        """Seconds a server whose process runs may take to answer; JupyterLab in a large image takes its time."""
        return 120

    @default("options_form")
    def _default_options_form(self) -> Any:
        return type(self)._render_options_form

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        return options_from_form

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        return lambda spawner, options: None  # start() parses, checks and applies them

    @property
    def settings(self) -> Settings:
        """The parsed configuration, shared by all spawners of the hub."""
        return self.launcher.settings

    @property
    def launcher(self) -> Launcher:
        """The one launcher of this hub, made when the first spawner needs it."""
        shared: dict[str, Any] = self.user.settings
        launcher = shared.get(_LAUNCHER)
        if launcher is None:
            launcher = shared[_LAUNCHER] = Launcher(
                self._load_settings(),
                owned=self._owned_by_hub(),
                pod_tls=make_ssl_context(
                    *(self.user.settings.get(f"internal_ssl_{part}") for part in ("key", "cert")),
                    cafile=self.user.settings.get("internal_ssl_ca"),
                ),
            )
            launcher.begin()
            measure(launcher)
            authenticator = self.user.authenticator
            if isinstance(authenticator, WorkspaceAuthenticator):
                books = launcher.books
                authenticator.workspace_log.subscribe(lambda change: books.note(entry_of(change)))
        return launcher

    @property
    def sessions(self) -> Sessions:
        """The running servers of this hub, made when the first spawner needs them."""
        shared: dict[str, Any] = self.user.settings
        sessions = shared.get(_SESSIONS)
        if sessions is None:
            sessions = shared[_SESSIONS] = begin_sessions(shared, self.launcher, self.notify_hook)
        return sessions

    def _load_settings(self) -> Settings:
        settings = load_settings({name: getattr(self, name) for name in KEYS})
        for notice in settings.notices:
            self.log.warning("gpuspawner: %s", notice)
        return settings

    async def my_settings(self) -> Settings:
        """The hub's settings, with the profiles of this user as they are now. Raises ``ProfilesError``."""
        settings = self.settings
        if settings.profiles_by_user:
            try:
                found = self.profiles(self)
                settings = with_profiles(settings, await found if isawaitable(found) else found)
            except Exception as error:
                self.log.exception("%s: error in c.GPUSpawner.profiles", self._log_name)
                raise ProfilesError from error
        self._mine = settings
        return settings

    @property
    def settings_of_user(self) -> Settings:
        """The hub's settings, with the profiles of this user as they were last told."""
        return self._mine or self.settings

    def _owned_by_hub(self) -> Any:
        """Whether JupyterHub's database knows a server as running or starting; survives this spawner."""
        db: Session = self.user.db

        def owned(user: str, server: str) -> bool:
            query = db.query(orm.Spawner.id).join(orm.User, orm.Spawner.user_id == orm.User.id)
            query = query.filter(orm.User.name == user, orm.Spawner.name == server, orm.Spawner.server_id.is_not(None))
            return query.first() is not None

        return owned

    async def _render_options_form(self) -> str:
        return await launch_form(self)

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """JupyterHub's, which it calls before it looks at the options in a link to the form."""
        if isinstance(self.handler, SpawnHandler) and self.handler.request.method == "GET":
            take_link(self.handler.request.query_arguments)
        await super().run_auth_state_hook(auth_state)

    def run_pre_spawn_hook(self) -> Any:
        """The site's hook, then the time that this launch may take, which JupyterHub reads before ``start()`` runs."""
        return self._prepare(super().run_pre_spawn_hook())

    async def _prepare(self, hook: Any) -> None:
        if isawaitable(hook):
            await hook
        configured: int = self.start_timeout
        if configured != self._resolved_timeout:
            self._longest = configured
        try:
            await self.my_settings()
            request = self._request()
        except LaunchError:
            return  # start() tells it
        deadlines = self.settings_of_user.catalog.profiles[request.profile].deadlines
        phases = request.wait + deadlines.total + self._answers_within(request)
        seconds: int = min(self._longest, phases + _MARGIN)
        self.start_timeout = self._resolved_timeout = seconds

    async def start(self) -> str:
        """Start the server; returns its URL once its pod is ready.

        Raises ``SpawnRefused`` with our sentence for whatever keeps it from starting.
        """
        self._launch_feed = feed = Feed(self.launcher.now)
        with counted(self.launcher, self.user.name, self.name, feed):
            return await self._start(feed)

    async def _start(self, feed: Feed) -> str:
        self._withdrawn = True
        self._stop_wanted, self._ending, self.ended_by = False, None, None
        began = time.monotonic()
        try:
            settings = await self.my_settings()
            request = self._checked_request()
            self.mem_limit, self.cpu_limit, self._gpus = request.memory, request.cpu, request.gpus
            self.launch_summary = describe_launch(request, settings.catalog)
            cost = say_cost(request, settings, self.launcher.accounts, self.launcher.now())
            self.launch_summary += f"; {cost}" if cost else ""
            server = self._notebook_server(self._answers_within(request))
            pod = await self.launcher.launch(
                request,
                server,
                feed.tell,
                timeout=self.start_timeout - 5,
                modify=None if self.modify_pod_hook is None else self._modify_pod,
                settings=settings,
            )
        except LaunchError as error:
            options = self._forget_options()
            self.log.warning("%s: %s %s", self._log_name, error.sentence, error.detail)
            if time.monotonic() - began >= _WATCHED:
                self._ending = Ending.of(error, self.launcher.now(), ran=False, options=options)
            # What is held for a launch that was admitted is about to be given back, so no budget is looked at.
            refused = isinstance(error, BadRequestError | DeniedError)
            if not refused:
                note_choice(self.user, options)
            error.remedies = remedies_for(self, error, options, paid=refused)
            raise SpawnRefused(error, self.user.name, self.name) from None
        except asyncio.CancelledError:
            note_choice(self.user, self._forget_options())
            raise
        except Exception as error:
            self._forget_options()
            self.log.exception("%s: error while starting", self._log_name)
            unexpected = LaunchError("something went wrong inside the hub.", "Tell the administrator; the log has it.")
            raise SpawnRefused(unexpected, self.user.name, self.name) from error
        finally:
            feed.close()
        note_choice(self.user, self.user_options)
        self._withdrawn = False
        self._watch_for_end()
        return server.url(pod.ip)

    async def stop(self, now: bool = False) -> None:
        """Delete the pod and wait until it is gone; if the API does not answer, that goes on in the background.

        A launch that failed is withdrawn by the launcher already, and nobody has to wait for it.
        """
        self._stop_wanted = True
        self.launcher.forget_end(self.user.name, self.name)
        if self._withdrawn:
            return
        await self.launcher.stop(self.user.name, self.name, grace_seconds=0 if now else None)

    async def poll(self) -> int | None:
        """None while the server runs or nothing is known; else its exit code, 0 if only its absence is known."""
        try:
            await self.launcher.synced(_FIRST_SYNC)
            return self.launcher.exit_code(self.user.name, self.name)
        except Exception:
            self.log.exception("%s: cannot tell whether it runs", self._log_name)
            return None

    async def delete_forever(self) -> None:
        """Delete what was kept for a user or a named server that is deleted, where the storage says so."""
        await self.launcher.provision.delete_kept(self.user.name, self.name)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The sentences of the launch under way, each once, from its beginning."""
        if self._launch_feed is not None:
            async for step in self._launch_feed:
                yield launching_of([step], gpus=self._gpus).as_event()

    @property
    def launching(self) -> Launching:
        """Where the launch under way is."""
        return launching_of(self._launch_feed.so_far if self._launch_feed is not None else (), gpus=self._gpus)

    async def get_url(self) -> str:
        """Where the server is; asked by a hub that restarts, also for one that was still starting.

        Where one that had started is does not change, and a cluster that does not answer must not hold it up: until it
        is checked, nobody is let through to it.
        """
        if self._pod_runs:
            return str(self.server.url)
        pod = await self.launcher.recover(self.user.name, self.name, timeout=min(self.start_timeout, _RECOVERY))
        if pod is None:
            return str(self.server.url)
        self._watch_for_end()
        return self._notebook_server(self.http_timeout).url(pod.ip)

    def get_env(self) -> dict[str, str]:
        """JupyterHub's variables, and those by which a server is asked to report its use."""
        environment: dict[str, str] = super().get_env()
        return {**environment, **report_variables(self.settings, environment)}

    def get_state(self) -> dict[str, Any]:
        """What a hub that restarts needs to find the pod again."""
        state: dict[str, Any] = super().get_state()
        if self._pod_runs:
            state["pod_name"] = pod_name(self.user.name, self.name)
            state["namespace"] = namespace_of(self.user.name, self.settings)
        elif self._ending is not None:
            state.update(self._ending.state())
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server that ran before the hub restarted."""
        super().load_state(state)
        self._ending = Ending.from_state(state)
        if "pod_name" in state:
            self._watch_for_end()

    def clear_state(self) -> None:
        """Forget the server that ran, but not why it ended if its member did not stop it."""
        super().clear_state()
        if not self._pod_runs:
            return
        self._pod_runs = False
        cause = self.ended_by
        if cause is None and not self._stop_wanted:
            cause = self.launcher.cause_of_end(self.user.name, self.name)
        self.sessions.forget(self.user.name, self.name)
        if cause is not None:
            self._ending = Ending.of(cause, self.launcher.now(), ran=True, options=self.user_options)
            self.sessions.tell_ended(self.user.name, self.name, cause)

    async def _modify_pod(self, pod: dict[str, Any]) -> Any:
        try:
            changed = self.modify_pod_hook(self, pod)
            if isawaitable(changed):
                changed = await changed
        except LaunchError:
            raise
        except Exception as error:
            if words := getattr(error, "jupyterhub_message", ""):
                raise LaunchError(str(words)) from error
            self.log.exception("%s: error in modify_pod_hook", self._log_name)
            raise HookError(type(error).__name__) from error
        return pod if changed is None else changed

    def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """Read the certificates that JupyterHub has made; the server finds them where its Secret is mounted."""
        trusted = (paths["cafile"], self.internal_trust_bundles["hub-ca"])
        self._certificates = {
            "ssl.key": Path(paths["keyfile"]).read_text(),
            "ssl.crt": Path(paths["certfile"]).read_text(),
            "notebooks-ca_trust.crt": "\n".join(Path(file).read_text().strip() for file in trusted) + "\n",
        }
        files = zip(("keyfile", "certfile", "cafile"), self._certificates, strict=True)
        return {kind: f"{CERTIFICATES_PATH}/{name}" for kind, name in files}

    def _watch_for_end(self) -> None:
        """Tell JupyterHub at once when the pod ends, instead of at its next poll."""
        self._pod_runs = True
        self.launcher.on_end(self.user.name, self.name, self.poll_and_notify)
        self.sessions.follow(self.user.name, self.name)

    def _forget_options(self) -> dict[str, Any]:
        """A launch that failed leaves nothing behind for the next one, which would otherwise repeat its options."""
        self.orm_spawner.user_options = {}
        return dict(self.user_options)

    async def request_for(self, options: Mapping[str, Any]) -> tuple[LaunchRequest, Settings]:
        """The launch that these options ask for, checked, and the settings of this user. Raises ``LaunchError``."""
        settings = await self.my_settings()
        return self._request(options), settings

    def _request(self, options: Mapping[str, Any] | None = None) -> LaunchRequest:
        """The launch that ``user_options`` ask for, checked."""
        return parse_request(
            self.user_options if options is None else options,
            user=self.user.name,
            server=self.name,
            workspaces=current_workspaces(self.user, self.launcher.now()),
            settings=self.settings_of_user,
            now=self.launcher.now(),
        )

    def _checked_request(self) -> LaunchRequest:
        """As ``_request``, of a launch that is under way: a refusal is kept in the audit log."""
        try:
            return self._request()
        except LaunchError as error:
            self.launcher.note_refusal(error, self.user.name, self.name, self.user_options)
            raise

    def _answers_within(self, request: LaunchRequest) -> int:
        """Seconds a server whose process runs may take to answer."""
        answer = self.settings_of_user.catalog.profiles[request.profile].deadlines.answer
        return int(self.http_timeout) if answer is None else answer

    def _notebook_server(self, answers_within: int) -> Server:
        return Server(
            self.get_env(),
            self.cmd or None,
            self.get_args(),
            self.port,
            self.server.base_url,
            answers_within,
            templates={key: value for key, value in self.environment.items() if isinstance(value, str | dict)},
            user_id=self.user.id,
            host=dns_name(self.user.name, self.name, self.settings) if self._has_service else "",
            certificates=self._certificates,
            https=self.internal_ssl,
        )

    @property
    def _has_service(self) -> bool:
        return bool(self.internal_ssl or self.settings.services)
