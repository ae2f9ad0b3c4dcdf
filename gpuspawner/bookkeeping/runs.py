"""What a pod says of its session: which one it is, when its server ran, and that the ledger has not charged it yet.

A pod carries its whole session, so that a hub whose ledger lost it, or never wrote it, can write it anew. Where a
budget pays, it carries a finalizer, as pods of Jobs carry ``batch.kubernetes.io/job-tracking``: whoever deletes it, it
stays, with the times of its containers, until its charge is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gpuspawner.admission import Granted
from gpuspawner.budgets.pricing import Price
from gpuspawner.cluster.records import PodRecord
from gpuspawner.errors import DeniedError, LaunchError
from gpuspawner.ledger.records import Action, AuditEntry, Session
from gpuspawner.request import OPTIONS, LaunchRequest

__all__ = ["FINALIZER", "SESSION", "Run", "carried", "carry", "run_of", "session_of"]

SESSION = "gpuspawner/session"
"""Annotation of a pod: its session, as JSON."""
FINALIZER = "gpuspawner/ledger"
"""Finalizer of a pod whose session is not charged yet."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Run:
    """When the server of a session ran; ``started`` is None where it never did, as far as anybody can tell."""

    started: datetime | None
    ended: datetime


def session_of(granted: Granted, session_id: str, hub: str, opened: datetime) -> Session:
    """The session of a launch that was granted at ``opened``."""
    asked = granted.request
    return Session(
        id=session_id,
        hub=hub,
        user=asked.user,
        server=asked.server,
        workspace=asked.workspace,
        profile=asked.profile,
        options=dict(asked.asked),
        gpu_classes=asked.gpu_classes,
        gpus=asked.gpus,
        cpu=asked.cpu,
        memory=asked.memory,
        image=asked.image,
        runtime=asked.runtime,
        price=granted.price.to_json(),
        held=granted.cost,
        opened=opened,
    )


def denial_of(denial: DeniedError, request: LaunchRequest, at: datetime) -> AuditEntry:
    """The entry in the audit log of a launch that a limit refused."""
    return AuditEntry(
        at=at,
        actor=request.user,
        action=Action.DENIAL,
        user=request.user,
        workspace=request.workspace,
        details={
            "server": request.server,
            "options": dict(request.asked),
            "reason": denial.reason,
            **_trace(denial),
        },
    )


def refusal_of(error: LaunchError, user: str, server: str, options: Mapping[str, Any], at: datetime) -> AuditEntry:
    """The entry in the audit log of a launch that asked for what is not on offer to its user, or for nonsense."""
    asked = {key: _short(options[key]) for key in OPTIONS if key in options}
    return AuditEntry(
        at=at,
        actor=user,
        action=Action.DENIAL,
        user=user,
        workspace=asked.get("workspace"),
        details={"server": server, "options": asked, "reason": error.reason, **_trace(error)},
    )


def _trace(error: LaunchError) -> dict[str, Any]:
    refused = [check for check in error.checks if not check.allowed]
    return {"rules": [check.rule for check in refused], "checks": [check.as_json() for check in refused]}


def _short(value: Any) -> str:
    """A value from outside, which may be anything, as a text that is not too long for a log."""
    return (value if isinstance(value, str) else repr(value))[:_LONGEST]


def carry(manifest: dict[str, Any], session: Session, *, until_charged: bool) -> None:
    """Write a session into the manifest of its pod, in place; ``until_charged``: with the finalizer."""
    metadata = manifest["metadata"]
    metadata["annotations"][SESSION] = json.dumps(session.dump(), separators=(",", ":"))
    others = [name for name in metadata.get("finalizers") or () if name != FINALIZER]
    if until_charged or others:
        metadata["finalizers"] = [*others, FINALIZER] if until_charged else others


def carried(annotations: Mapping[str, str]) -> Session | None:
    """The session that a pod carries; None where it is not what :func:`carry` wrote."""
    try:
        session = Session.load(json.loads(annotations[SESSION]))
        Price.from_json(session.price)
    except (KeyError, TypeError, ValueError):
        return None
    return session


def run_of(pod: PodRecord, now: datetime, *, started: datetime | None = None) -> Run:
    """When the server of a pod that is over, or gone, ran; by its kubelet's clock, never by the hub's.

    ``started`` is when it is known to have begun: the first time, where its container was restarted. Where no kubelet
    has told the end, as of a node that was lost, it is the earliest of when Kubernetes took the pod off its node, when
    it was to be gone, when its deadline was over, and ``now``.
    """
    began = _time(pod.ran_from)
    first = min((at for at in (started, began) if at is not None), default=None)
    if first is None:
        return Run(None, now)
    ended = _time(pod.ran_until)
    if ended is None:
        due, placed = [_time(pod.disrupted_at), _time(pod.deleted_at)], _time(pod.started_at)
        if placed is not None and pod.runtime:
            due.append(placed + timedelta(seconds=pod.runtime))
        ended = min([now, *(at for at in due if at is not None)])
    return Run(first, max(first, ended))


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
