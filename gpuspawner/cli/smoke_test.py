"""`gpuspawner smoke-test`: launch the smallest profile as a test user, see it answer, and stop it."""

import argparse
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gpuspawner.cli.errors import CommandError
from gpuspawner.cli.hub_api import HubApi, HubSilentError, RefusedError
from gpuspawner.quantity import format_bytes, format_duration, say_cores

__all__ = ["run"]

_NOT_YET = 503
_CONFLICT = 409
_PAUSE = 1.0
_NOT_LET_IN = ("/hub/api/oauth2/", "/hub/login", "/hub/user/")
_GRACE = 300
"""Seconds that the token outlives the time-out, to stop the server with."""


def run(options: argparse.Namespace) -> int:
    """0 where the server started, answered and stopped; raises ``CommandError`` with why not."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server is stopped then, too
    service = HubApi(options.hub, options.token_file)
    end = time.monotonic() + options.timeout
    with _test_user(service, options.user, options.timeout, end) as hub:
        server = f"users/{quote(options.user, safe='')}/server"
        with suppress(RefusedError):  # of an earlier test that was killed
            _stop(hub, server, end)
        launch = _choose(_patiently(lambda: hub.ask("GET", "gpuspawner/entitlements"), end)[1], options)
        print(f"{options.user} launches {_words(launch)}.", flush=True)
        began = time.monotonic()
        try:
            _start(hub, server, launch)
            path = _follow(hub, server, end)
            print(f"The server is ready after {_since(began)}.", flush=True)
            if options.url:
                _must_answer(options.url, path, hub.token)
                print(f"It answers at {options.url.rstrip('/')}{path}.", flush=True)
        finally:
            _stop(hub, server, time.monotonic() + _GRACE)
        print(f"It has stopped. All of it took {_since(began)}.", flush=True)
    return 0


@contextmanager
def _test_user(service: HubApi, name: str, timeout: int, end: float) -> Iterator[HubApi]:
    """The API in the name of the test user, who is made where there is none, and deleted again."""
    user = f"users/{quote(name, safe='')}"
    made = True
    try:
        _patiently(lambda: service.ask("POST", user), end)
    except RefusedError as error:
        if error.code != _CONFLICT:
            raise
        made = False
    try:
        note = {"note": "gpuspawner smoke-test", "expires_in": timeout + _GRACE}
        _, token = service.ask("POST", f"{user}/tokens", note)
        try:
            yield HubApi(service.url, token=token["token"])
        finally:
            service.ask("DELETE", f"{user}/tokens/{token['id']}")
    finally:
        if made:
            service.ask("DELETE", user)


def _patiently(ask: Callable[[], tuple[int, Any]], end: float) -> tuple[int, Any]:
    """The answer of a hub that may have to start first."""
    while True:
        try:
            return ask()
        except HubSilentError:
            if time.monotonic() > end:
                raise
        except RefusedError as error:
            if error.code != _NOT_YET or time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


def _choose(entitled: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The smallest launch that is allowed: without GPU where one is, then with the least memory and CPU."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    reasons: list[str] = []
    for space in entitled["workspaces"]:
        for profile in space["profiles"]:
            if options.workspace not in (None, space["name"]) or options.profile not in (None, profile["name"]):
                continue
            reason, gpus, gpu_class = _gpus(profile, options.gpu_class)
            if reason := space["reason"] or profile["reason"] or reason:
                reasons.append(f"{profile['name']} in {space['name']}: {reason}")
                continue
            least = {key: profile[key]["min"] for key in ("cpu", "memory")}
            launch = {"workspace": space["name"], "profile": profile["name"], "gpus": gpus, **least, **gpu_class}
            found.append(((gpus, least["memory"], least["cpu"], not space["default"]), launch))
    if found:
        return min(found, key=lambda one: one[0])[1]
    if reasons:
        raise CommandError(f"{options.user} may launch nothing of it now. {' '.join(reasons)}")
    raise CommandError(
        f"nothing is on offer to {options.user}. Make the user a member of a workspace, or look for a misspelt name."
    )


def _gpus(profile: Mapping[str, Any], wanted: str | None) -> tuple[str, int, dict[str, str]]:
    """Why not, how many GPUs, and of which class."""
    least = int(profile["gpus"]["min"])
    if not least and wanted is None:
        return "", 0, {}
    classes = [one for one in profile["gpu_classes"] if wanted in (None, one["name"])]
    for one in classes:
        if not one["reason"]:
            return "", max(1, least), {"gpu_class": one["name"]}
    return classes[0]["reason"] if classes else "It has no such GPU class.", 0, {}


def _words(launch: Mapping[str, Any]) -> str:
    gpus = f"{launch['gpus']} GPU of class {launch['gpu_class']}, " if launch["gpus"] else ""
    amounts = f"{gpus}{say_cores(launch['cpu'])}, {format_bytes(int(launch['memory']))}"
    return f"{launch['profile']} in {launch['workspace']} ({amounts})"


def _start(hub: HubApi, server: str, launch: Mapping[str, Any]) -> None:
    try:
        hub.ask("POST", server, launch)
    except RefusedError as error:
        raise CommandError(str(error)) from None


def _follow(hub: HubApi, server: str, end: float) -> str:
    """Print the steps of a launch until its server is ready; its path below the hub's host."""
    last = ""
    while True:
        for event in hub.events(f"{server}/progress"):
            if event is not None:
                if event.get("failed"):
                    raise CommandError(str(event["message"]))
                if event.get("ready"):
                    return str(event["url"])
                told = str(event.get("message", ""))
                if told != last:
                    last = told
                    print(f"  {told}", flush=True)
            if time.monotonic() > end:
                raise CommandError(f"the server is not ready in time. The last step was: {last}")


def _stop(hub: HubApi, server: str, end: float) -> None:
    """Stop the server, and wait until it is gone."""
    while hub.ask("DELETE", server)[0] == 202:
        if time.monotonic() > end:
            raise CommandError("the server does not stop.")
        time.sleep(_PAUSE)


class _Stay(HTTPRedirectHandler):
    """Leaves redirects to whoever asks."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _must_answer(url: str, path: str, token: str) -> None:
    """The server answers through the proxy to its user. Raises ``CommandError``."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise CommandError(f"{url} is no URL of a hub.", status=2)
    where = f"{url.rstrip('/')}{path}"
    request = Request(where, headers={"Authorization": f"token {token}"})  # noqa: S310
    try:
        with build_opener(_Stay).open(request, timeout=30):
            return
    except HTTPError as error:
        to = error.headers.get("Location", "")
        if to and not any(login in to for login in _NOT_LET_IN):
            return
        raise CommandError(
            f"the server does not answer its user at {where} ({error.code} {error.reason}). Does the proxy reach it, "
            "and does it reach the hub? Look at network policies."
        ) from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise CommandError(f"{where} cannot be reached ({reason}). Is --url the URL of the hub's proxy?") from None


def _since(began: float) -> str:
    return format_duration(max(1, round(time.monotonic() - began)))
