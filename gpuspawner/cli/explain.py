"""`gpuspawner explain`: what somebody may start now, and if not, why; as a running hub sees it."""

import argparse
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from gpuspawner.cli.check import table
from gpuspawner.cli.hub_api import HubApi
from gpuspawner.limits.trace import say_time
from gpuspawner.quantity import format_bytes, format_cores, format_duration

__all__ = ["run"]

_OPTIONS = ("workspace", "profile", "gpu_class", "gpus", "cpu", "memory", "runtime", "image")


def run(options: argparse.Namespace) -> int:
    """Print the explanation; 0 where the launch may start, 1 where it may not."""
    asked = {key: _value(key, getattr(options, key)) for key in _OPTIONS if getattr(options, key) is not None}
    hub = HubApi(options.hub, options.token_file)
    found = hub.post("explain", {"user": options.user, "server": options.server, "options": asked})
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n\n".join(_parts(found, all_offers=not asked)))
    return 0 if found["allowed"] else 1


def _value(key: str, text: str) -> Any:
    """Several GPU classes in order of preference are written with commas."""
    return text.split(",") if key == "gpu_class" and "," in text else text


def _parts(found: Mapping[str, Any], *, all_offers: bool) -> Iterator[str]:
    now = datetime.fromisoformat(found["at"])
    launch = f": {found['summary']}, in {found['request']['workspace']}" if found["request"] else ""
    if found["allowed"]:
        yield f"{found['user']} may start this now{launch}."
    else:
        yield f"{found['user']} may not start this now{launch}.\n{found['reason']} {found['remedy']}".rstrip()
    if found["checks"]:
        header = ("LIMIT", "GPU CLASS", "VALUE", "USED", "ASKED", "ALLOWED", "SET BY")
        yield table(header, [_row(check, now) for check in found["checks"]])
    if not found["budgets_known"]:
        yield "The hub's ledger does not answer: budgets are left out."
    if all_offers:
        yield table(
            ("WORKSPACE", "PROFILE", "GPU CLASS", "GPUS", "CPU", "MEMORY", "RUNTIME", "WHY NOT"), _offers(found)
        )


def _row(check: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    said, allowed = check["said"], "yes" if check["allowed"] else "no"
    if check["allowed_from"]:
        allowed = f"from {say_time(datetime.fromisoformat(check['allowed_from']), now)}"
    used = said.get("used", "")
    return check["limit"], check.get("gpu_class", ""), said["value"], used, said["asked"], allowed, check["rule"]


def _offers(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What may be started, by workspace, profile and GPU class; the most of each amount."""
    for space in found["offers"]:
        for profile in space["profiles"]:
            reason = space["reason"] or profile["reason"]
            most = (
                format_cores(profile["cpu"]["max"]),
                format_bytes(profile["memory"]["max"]),
                format_duration(profile["runtime"]["max"]),
            )
            for one in profile["gpu_classes"]:
                why = reason or one["reason"]
                gpus = "0" if why else str(one["gpus"]["max"])
                yield (space["name"], profile["name"], one["name"], gpus, *most, why)
            if not profile["gpus"]["min"]:
                yield (space["name"], profile["name"], "none", "0", *most, reason)
