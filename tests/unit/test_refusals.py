"""What the Kubernetes API refuses, recorded or in its known forms, as an error a person understands."""

import json
from pathlib import Path

import pytest

from gpuspawner.cluster import refusals
from gpuspawner.cluster.refusals import refused
from gpuspawner.cluster.wire import ApiError, UnreachableError
from gpuspawner.errors import ClusterError

RECORDED = Path(__file__).parent.parent / "data" / "kubernetes-api"


def recorded(number: str) -> ApiError:
    (path,) = RECORDED.glob(f"{number}-*.json")
    response = json.loads(path.read_text())["response"]
    return ApiError.from_status(response["status"], response["body"])


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        ("03", refusals.ConflictError, "An earlier server of the same name is still there."),
        (
            "05",
            refusals.InvalidPodError,
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than',
        ),
        ("07", refusals.InvalidPodError, "json: cannot unmarshal"),
        ("10", refusals.HubNotAllowedError, "The hub may not list pods in namespace hub."),
        (
            "33",
            refusals.ResourceQuotaError,
            "1 of 1 GPUs in use, and this server needs 1 more (ResourceQuota students)",
        ),
        ("34", refusals.InvalidPodError, "ResourceQuota students asks for limits.memory for: c"),
        ("41", refusals.PodSecurityError, "Pod Security level restricted does not allow this server: allowPrivilege"),
        ("54", refusals.NamespaceMissingError, "Namespace hub does not exist or is being deleted."),
    ],
)
def test_a_recorded_refusal_becomes_an_error_with_words(number: str, kind: type[ClusterError], words: str) -> None:
    error = recorded(number)
    problem = refused(error, "hub")
    assert type(problem) is kind
    assert words in problem.reason
    assert problem.detail == error.message
    assert problem.remedy.endswith(".")


FORMS = [
    (
        403,
        (
            'pods "x" is forbidden: exceeded quota: team, requested: limits.memory=16Gi,requests.cpu=4, '
            "used: limits.memory=120Gi,requests.cpu=7500m, limited: limits.memory=128Gi,requests.cpu=10"
        ),
        refusals.ResourceQuotaError,
        "120 GiB of 128 GiB of memory in use, and this server needs 16 GiB more; 7.5 of 10 CPU cores in use",
    ),
    (
        403,
        (
            'pods is forbidden: User "system:serviceaccount:hub:hub" cannot create resource "pods" in API group "" in '
            'the namespace "hub"'
        ),
        refusals.HubNotAllowedError,
        "The hub may not create pods in namespace hub.",
    ),
    (
        403,
        'pods "x" is forbidden: maximum memory usage per Container is 8Gi, but limit is 16Gi',
        refusals.LimitRangeError,
        "maximum memory usage per Container is 8Gi, but limit is 16Gi.",
    ),
    (
        403,
        'pods "x" is forbidden: error looking up service account hub/nb: serviceaccount "nb" not found',
        refusals.InvalidPodError,
        'serviceaccount "nb" not found',
    ),
    (
        400,
        'admission webhook "validation.gatekeeper.sh" denied the request: [images] not from our registry',
        refusals.WebhookError,
        'A rule of the cluster (validation.gatekeeper.sh) refused the server: "[images] not from our registry".',
    ),
    (
        422,
        "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'gpus' with binding 'b' denied request: at most 2 GPUs",
        refusals.WebhookError,
        'A rule of the cluster (gpus) refused the server: "at most 2 GPUs".',
    ),
    (
        500,
        'Internal error occurred: failed calling webhook "mutate.istio.io": Post "https://istiod": connection refused',
        refusals.WebhookError,
        "A rule of the cluster (mutate.istio.io) could not be asked.",
    ),
    (401, "Unauthorized", refusals.CredentialsError, "does not accept the hub's credentials"),
    (404, 'namespaces "hub" not found', refusals.NamespaceMissingError, "Namespace hub"),
    (429, "too many requests", refusals.ApiBusyError, "could not take the request (429)"),
    (503, "", refusals.ApiBusyError, "could not take the request (503)"),
]


@pytest.mark.parametrize(("status", "message", "kind", "words"), FORMS, ids=[f"{f[0]} {f[2].__name__}" for f in FORMS])
def test_a_known_form_of_refusal_is_understood(status: int, message: str, kind: type[ClusterError], words: str) -> None:
    problem = refused(ApiError(status, "", message), "hub")
    assert type(problem) is kind
    assert words in problem.reason


def test_no_answer_is_told_without_addresses_and_with_what_goes_on_running() -> None:
    problem = refused(UnreachableError("no connection to 10.0.0.1:443: Connection refused"), "hub")
    assert type(problem) is refusals.ApiUnreachableError
    assert "10.0.0.1" not in problem.sentence
    assert "10.0.0.1" in problem.detail
    assert "go on running" in problem.remedy


def test_a_webhooks_text_cannot_bring_control_characters_along() -> None:
    problem = refused(
        ApiError(403, "", 'admission webhook "a" denied the request: \x1b[31m<b>no</b>\n' + "x" * 999), "hub"
    )
    assert problem.reason.isprintable()
    assert len(problem.reason) < 500
