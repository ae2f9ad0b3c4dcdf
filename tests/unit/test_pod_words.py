"""Events, conditions and container states in plain words: every cause of trouble, and which of them end a launch."""

import json
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.cluster import failures
from gpuspawner.cluster.events import EventRecord, Phase, diagnose, ended, event_record, progress
from gpuspawner.cluster.failures import PodError, plain
from gpuspawner.cluster.inventory import Stock
from gpuspawner.cluster.records import PodRecord, pod_record
from gpuspawner.cluster.scheduling import reasons

RECORDED = Path(__file__).parent.parent / "data" / "kubernetes-api"
GPU = "nvidia.com/gpu"
BUSY = Stock(
    title="Small", resource=GPU, nodes=2, usable=2, gpus=1, total=8, most_on_a_node=4, cpu=1000, memory=2**30,
    most_cpu=64000, most_memory=512 * 2**30, fits=True,
)  # fmt: skip


def recorded(number: str) -> dict[str, Any]:
    (path,) = RECORDED.glob(f"{number}-*.json")
    return json.loads(path.read_text())["response"]["body"]


def stock(**changes: Any) -> Stock:
    fields = {name: getattr(BUSY, name) for name in Stock.__slots__}
    return Stock(**{**fields, **changes})


def pod(node: str = "t4-1", **state: Any) -> PodRecord:
    """A pod on a node; ``waiting``, ``terminated`` and ``last`` are the states of its container."""
    container: dict[str, Any] = {
        "name": "notebook",
        "restartCount": state.pop("restarts", 0),
        "state": {},
        "lastState": {},
    }
    for kind in ("waiting", "terminated", "running"):
        if kind in state:
            container["state"] = {kind: state.pop(kind)}
    if "last" in state:
        container["lastState"] = {"terminated": state.pop("last")}
    spec: dict[str, Any] = {
        "nodeName": node,
        "containers": [
            {"name": "notebook", "image": "example.org/nb:1", "resources": {"limits": {GPU: "1", "memory": "8Gi"}}}
        ],
    }
    metadata = {"name": "jupyter-a", "namespace": "hub", "uid": "u", **state.pop("metadata", {})}
    status = {"phase": "Pending", "containerStatuses": [container], **state}
    return pod_record({"metadata": metadata, "spec": spec, "status": status}, own=True)


def unplaced(message: str, **state: Any) -> PodRecord:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod("", conditions=[condition], containerStatuses=None, **state)


def happened(reason: str, message: str = "", time: str = "2026-11-21T05:00:00Z", kind: str = "Normal") -> EventRecord:
    return EventRecord(f"e-{reason}-{time}", "u", kind, reason, message, 1, time)


def condition(kind: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


PULL = 'failed to pull and unpack image "example.org/nb:1": '
TROUBLES = [
    (
        "no such image",
        pod(waiting={"reason": "ErrImagePull", "message": PULL + "not found"}),
        failures.ImageMissingError,
        0,
    ),
    (
        "no such image, backing off",
        pod(
            waiting={
                "reason": "ImagePullBackOff",
                "message": f'Back-off pulling image "x": ErrImagePull: {PULL}not found',
            }
        ),
        failures.ImageMissingError,
        0,
    ),
    (
        "no right to pull",
        pod(waiting={"reason": "ErrImagePull", "message": PULL + "401 Unauthorized"}),
        failures.ImageMissingError,
        0,
    ),
    (
        "registry is busy",
        pod(waiting={"reason": "ErrImagePull", "message": PULL + "429 Too Many Requests - toomanyrequests"}),
        failures.ImageDelayedError,
        inf,
    ),
    (
        "registry does not answer",
        pod(waiting={"reason": "ImagePullBackOff", "message": "ErrImagePull: dial tcp: i/o timeout"}),
        failures.ImageDelayedError,
        inf,
    ),
    (
        "an image name that is none",
        pod(waiting={"reason": "InvalidImageName", "message": "couldn't parse image name"}),
        failures.ImageNameError,
        0,
    ),
    (
        "a Secret is missing",
        pod(waiting={"reason": "CreateContainerConfigError", "message": 'secret "token" not found'}),
        failures.SetupError,
        0,
    ),
    (
        "the command does not exist",
        pod(
            waiting={
                "reason": "RunContainerError",
                "message": 'exec: "jupyterhub-singleuser": executable file not found',
            }
        ),
        failures.SetupError,
        0,
    ),
    (
        "crash loop",
        pod(
            restarts=3,
            waiting={"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"},
            last={"exitCode": 1, "reason": "Error"},
        ),
        failures.ExitedError,
        0,
    ),
    ("it ended at once", pod(phase="Failed", terminated={"exitCode": 2, "reason": "Error"}), failures.ExitedError, 0),
    ("it ended well, too early", pod(phase="Succeeded", terminated={"exitCode": 0}), failures.ExitedError, 0),
    (
        "out of memory",
        pod(phase="Failed", terminated={"exitCode": 137, "reason": "OOMKilled"}),
        failures.OOMKilledError,
        0,
    ),
    (
        "out of memory and restarted",
        pod(restarts=1, running={}, last={"exitCode": 137, "reason": "OOMKilled"}),
        failures.OOMKilledError,
        0,
    ),
    (
        "evicted by the kubelet",
        pod(
            phase="Failed", reason="Evicted", message="The node was low on resource: memory. Threshold quantity: 100Mi"
        ),
        failures.EvictedError,
        0,
    ),
    (
        "evicted through the API",
        pod(conditions=[condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting")]),
        failures.EvictedError,
        0,
    ),
    (
        "runtime limit",
        pod(phase="Failed", reason="DeadlineExceeded", message="Pod was active on the node longer than the deadline"),
        failures.RuntimeLimitError,
        0,
    ),
    (
        "preempted",
        pod(conditions=[condition("DisruptionTarget", "PreemptionByScheduler", "default-scheduler: preempting")]),
        failures.PreemptedError,
        0,
    ),
    (
        "preempted in the queue",
        pod(conditions=[condition("TerminationTarget", "Preempted", "Preempted to accommodate a workload")]),
        failures.PreemptedError,
        0,
    ),
    (
        "node lost",
        pod(conditions=[condition("DisruptionTarget", "DeletionByTaintManager", "Taint manager: deleting")]),
        failures.NodeLostError,
        0,
    ),
    (
        "node shut down",
        pod(phase="Failed", reason="Terminated", message="imminent node shutdown"),
        failures.NodeLostError,
        0,
    ),
    (
        "two time slices",
        pod(phase="Failed", reason="UnexpectedAdmissionError", message="Allocate failed"),
        failures.NodeRefusedError,
        0,
    ),
    ("no room after all", pod(phase="Failed", reason="OutOfnvidia.com/gpu"), failures.NodeRefusedError, 0),
    ("deleted by somebody", pod(metadata={"deletionTimestamp": "2026-11-21T05:00:00Z"}), failures.DeletedError, 0),
]


@pytest.mark.parametrize(("record", "kind", "patience"), [t[1:] for t in TROUBLES], ids=[t[0] for t in TROUBLES])
def test_each_trouble_of_a_placed_pod_has_its_error_with_words(
    record: PodRecord, kind: type[PodError], patience: float
) -> None:
    problem = diagnose(record)
    assert type(problem) is kind
    assert problem is not None
    assert problem.patience == patience
    assert problem.reason.endswith((".", '"'))
    assert problem.remedy.endswith(".")
    assert problem.sentence.startswith("Not started: ")


# What kube-scheduler 1.36 said (recorded), what the nodes have, the error, seconds it may last, words in the reason.
UNSCHEDULABLE = [
    ("19", stock(gpus=16, most_on_a_node=8), failures.TooManyGPUsError, 20, "16 Small GPUs; no node has more than 8"),
    ("21", stock(repelled_by=("nvidia.com/gpu=present:NoSchedule",), total=4, free=4, most_free_on_a_node=4),
     failures.RepelledError, 20, "taint nvidia.com/gpu=present:NoSchedule"),
    ("23", stock(nodes=0, usable=0, total=0, most_on_a_node=0, fits=False), failures.NoSuchGPUError, 20, "a Small GPU"),
    ("25", Stock("", nodes=16, usable=16, cpu=1000, memory=2 * 2**40, most_cpu=64000, most_memory=512 * 2**30),
     failures.TooLargeError, 20, "2 TiB of memory; no node has more than 512 GiB"),
    ("27", stock(total=16, waiting=2), failures.GPUsTakenError, inf, "All 16 Small GPUs are taken; 2 others wait"),
    ("27", stock(gpus=4, free=3, most_free_on_a_node=2), failures.GPUsTakenError, inf, "3 Small GPUs are free, but no"),
    ("27", stock(total=1, most_on_a_node=1), failures.GPUsTakenError, inf, "The only Small GPU is taken."),
    ("27", stock(usable=0, total=0), failures.NodesClosedError, inf, "closed for maintenance or not ready"),
    ("25", stock(free=4, most_free_on_a_node=4, memory=100 * 2**30), failures.NodesFullError, inf, "not enough memory"),
    ("67", None, failures.GPUsTakenError, inf, "No GPU of this kind is free"),
    ("27", None, failures.GPUsTakenError, inf, "No GPU of this kind is free"),
    ("23", None, failures.NoSuchGPUError, 20, "GPU of this kind"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "there", "kind", "patience", "words"), UNSCHEDULABLE)
def test_recorded_sentences_of_the_scheduler_become_causes_with_numbers(
    number: str, there: Stock | None, kind: type[PodError], patience: float, words: str
) -> None:
    record = pod_record(recorded(number), own=True)
    problem = diagnose(record, stock=there)
    assert type(problem) is kind
    assert problem is not None
    assert problem.patience == patience
    assert words in problem.reason
    assert problem.detail == record.scheduled_message


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        ("39", failures.ClaimPendingError, "not ready yet"),
        ("40", failures.ClaimMissingError, "The storage missing does not exist"),
    ],
)
def test_recorded_trouble_with_storage_is_told_apart(number: str, kind: type[PodError], words: str) -> None:
    (happening,) = [event_record(raw) for raw in recorded(number)["items"]]
    problem = diagnose(unplaced(happening.message), stock=BUSY)
    assert type(problem) is kind
    assert problem is not None
    assert words in problem.reason


def test_a_node_that_ends_others_for_a_launch_is_told_and_not_that_all_is_taken() -> None:
    record = replace(unplaced("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."), nominated="t4-0")
    problem = diagnose(record, stock=stock(total=4))
    assert type(problem) is failures.MakingRoomError
    assert problem.reason == "Node t4-0 makes room for the server."
    assert progress(record, stock=stock(total=4)).phase is Phase.WAITING


def test_a_pod_in_a_queue_is_not_called_unschedulable() -> None:
    gated = unplaced("Scheduling is blocked due to non-empty scheduling gates")
    assert type(diagnose(gated, stock=BUSY)) is failures.QueuedError


def test_a_node_on_its_way_makes_the_impossible_worth_waiting_for() -> None:
    record = unplaced("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.")
    empty = stock(nodes=0, usable=0, most_on_a_node=0)
    assert type(diagnose(record, stock=empty)) is failures.NoSuchGPUError
    coming = [happened("TriggeredScaleUp", "pod triggered scale-up: [{pool 1->2 (max: 5)}]")]
    problem = diagnose(record, coming, empty)
    assert type(problem) is failures.NodeComingError
    assert problem is not None
    assert problem.patience == inf
    assert progress(record, coming, empty).phase is Phase.NODE_COMING


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            (
                "0/16 nodes are available: 10 Insufficient nvidia.com/gpu, 6 node(s) had untolerated taint(s). no new "
                "claims to deallocate, preemption: 0/16 nodes are available: 16 Preemption is not helpful."
            ),
            {"Insufficient nvidia.com/gpu": 10, "node(s) had untolerated taint(s)": 6},
        ),
        (
            "0/3 nodes are available: 3 node(s) had untolerated taint {nvidia.com/gpu: present}. preemption: 0/3 nodes",
            {"node(s) had untolerated taint {nvidia.com/gpu: present}": 3},
        ),
        ('0/16 nodes are available: persistentvolumeclaim "missing" not found. not found', {}),
        ("something else entirely", {}),
    ],
)
def test_the_schedulers_sentence_is_taken_apart(message: str, expected: dict[str, int]) -> None:
    assert reasons(message) == expected


def test_the_last_line_of_the_log_says_why_the_server_ended() -> None:
    log = "Traceback (most recent call last):\n  File ...\nModuleNotFoundError: No module named 'jupyterhub'\n\n"
    problem = ended(pod(phase="Failed", terminated={"exitCode": 1, "reason": "Error"}), log)
    assert problem.reason == (
        "The server ended before it was ready (exit code 1). "
        "The last line of its log: \"ModuleNotFoundError: No module named 'jupyterhub'\""
    )
    assert problem.detail.startswith("Traceback")


def test_a_server_that_had_been_ready_did_not_end_before_it_was() -> None:
    problem = ended(pod(phase="Succeeded", terminated={"exitCode": 0}), ran=True)
    assert problem.reason == "The server ended (exit code 0)."


def test_the_memory_limit_is_named_to_who_ran_out_of_it() -> None:
    problem = ended(pod(phase="Failed", terminated={"exitCode": 137, "reason": "OOMKilled"}))
    assert problem.reason == "The server used more memory than its 8 GiB and was ended."


def test_a_pod_that_vanished_without_a_cause_was_deleted() -> None:
    assert type(ended(None)) is failures.DeletedError
    assert type(ended(pod(running={}))) is failures.DeletedError


def test_an_image_that_only_the_event_explains_is_still_explained() -> None:
    backing_off = pod(waiting={"reason": "ImagePullBackOff", "message": 'Back-off pulling image "example.org/nb:1"'})
    assert type(diagnose(backing_off)) is failures.ImageDelayedError
    told = [happened("Failed", 'Failed to pull image "example.org/nb:1": rpc error: code = NotFound: not found')]
    assert type(diagnose(backing_off, told)) is failures.ImageMissingError


def test_a_launch_is_told_step_by_step_and_never_goes_back() -> None:
    at = "2026-11-21T05:00:0{}Z".format
    pulling = happened("Pulling", 'Pulling image "example.org/nb:1"', at(1))
    pulled = happened("Pulled", "Successfully pulled image in 3s", at(4))
    started = happened("Started", "Started container notebook", at(4))
    ready = pod(running={}, phase="Running", conditions=[condition("Ready", "")])
    steps = [
        progress(pod("")),
        progress(unplaced("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."), stock=BUSY),
        progress(pod(waiting={"reason": "ContainerCreating"})),
        progress(pod(waiting={"reason": "ContainerCreating"}), [pulling]),
        progress(pod(waiting={"reason": "ContainerCreating"}), [pulled, pulling]),
        progress(pod(running={}), [started, pulled, pulling]),
        progress(ready, [started]),
    ]
    assert [step.phase for step in steps] == [
        Phase.ACCEPTED,
        Phase.WAITING,
        Phase.SCHEDULED,
        Phase.PULLING,
        Phase.PULLED,
        Phase.STARTING,
        Phase.READY,
    ]
    assert sorted(step.percent for step in steps) == [step.percent for step in steps]
    assert steps[-1].percent == 100
    assert steps[1].message == "All 8 Small GPUs are taken."
    assert "Insufficient" in steps[1].raw
    assert "Insufficient" not in steps[1].message


def test_recorded_events_are_read_in_both_of_their_forms() -> None:
    (scheduled,) = [event_record(raw) for raw in recorded("16")["items"]]
    assert (scheduled.reason, scheduled.time) == ("Scheduled", "2026-11-21T05:26:52.412153Z")
    (repeated,) = [event_record(raw) for raw in recorded("69")["items"]]
    assert (repeated.count, repeated.time) == (9, "2026-11-21T05:26:57Z".replace("05:26", "06:06"))


hostile = st.text(max_size=400) | st.sampled_from(["<script>alert(1)</script>", "\x1b[31mred", "a\u202eb", "x\r\ny"])


@given(hostile, hostile)
def test_foreign_text_comes_out_without_control_characters_and_short(reason: str, message: str) -> None:
    for record in (
        pod(phase="Failed", reason=reason, message=message, terminated={"exitCode": 1, "message": message}),
        pod(waiting={"reason": "RunContainerError", "message": message}),
        unplaced(message),
        pod(waiting={"reason": "InvalidImageName", "message": message}),
    ):
        problem = diagnose(record, stock=BUSY)
        step = progress(record, [happened(reason, message)], BUSY)
        for text in (step.message, problem.reason if problem else "", problem.remedy if problem else ""):
            assert len(text) < 900
            assert text.isprintable()


@given(hostile)
def test_plain_text_stays_within_its_limit(text: str) -> None:
    assert len(plain(text, 50)) <= 50
    assert "\n" not in plain(text)


@pytest.mark.parametrize(
    ("annotations", "state", "code", "said"),
    [
        (
            {"gpuspawner/limited-by": "budget"},
            {"phase": "Failed", "reason": "DeadlineExceeded"},
            "budget_used_up",
            "budget",
        ),
        (
            {"gpuspawner/limited-by": "budget", "gpuspawner/ends": "2026-11-21T11:00:00Z"},
            {"phase": "Failed", "reason": "DeadlineExceeded"},
            "runtime_limit",
            "runtime limit",
        ),
        (
            {"gpuspawner/ended-by": '{"code": "idle", "reason": "Nothing used it.", "remedy": ""}'},
            {"phase": "Failed", "terminated": {"exitCode": 137, "reason": "Error"}},
            "idle",
            "Nothing used it.",
        ),
    ],
)
def test_what_the_hub_wrote_on_a_pod_says_why_it_ended(
    annotations: dict[str, str], state: dict[str, Any], code: str, said: str
) -> None:
    cause = ended(pod(metadata={"annotations": annotations}, **state), ran=True)
    assert cause.code == code
    assert said in cause.reason
