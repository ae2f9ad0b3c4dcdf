"""The configuration as a whole: what is read, and how every kind of mistake is told."""

from datetime import date
from re import findall
from typing import Any

import pytest
from small_hub import SECTION, changed, section
from traitlets.config import Config

from gpuspawner.catalog import Offer
from gpuspawner.config import load_settings, section_of
from gpuspawner.errors import ConfigurationError


def problems(config: dict[str, Any], inherited: set[str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, inherited)
    return caught.value.problems


def only_problem(path: str, value: Any) -> str:
    (problem,) = problems(changed(path, value))
    return problem.removeprefix("c.GPUSpawner.")


# Path in the small hub's section, the value put there, and the one line an administrator reads.
MISTAKES: list[tuple[str, Any, str]] = [
    # unknown keys
    ("gpu_classes/small/memmory", "16Gi", "gpu_classes['small'].memmory: unknown key; did you mean 'memory'?"),
    ("profiles/pytorch/gpu_class", [], "profiles['pytorch'].gpu_class: unknown key; did you mean 'gpu_classes'?"),
    ("workspaces/lab/member", "*", "workspaces['lab'].member: unknown key; did you mean 'members'?"),
    ("workspaces/lab/per_member", {"gpu": 1}, "workspaces['lab'].per_member.gpu: unknown key; did you mean 'gpus'?"),
    (
        "workspaces/lab/members",
        [{"clam": "groups", "claim": "g", "equals": "x"}],
        "workspaces['lab'].members[0].clam: unknown key; did you mean 'claim'?",
    ),
    ("storage", {"sise": "1G"}, "storage.sise: unknown key; did you mean 'size'?"),
    ("profiles/pytorch/name", "x", "profiles['pytorch'].name: unknown key; the name is 'pytorch' already"),
    (
        "gpu_classes/small/accepts",
        [{"resource": "nvidia.com/gpu", "zzz": 1}],
        "gpu_classes['small'].accepts[0].zzz: unknown key; known: device_class, product, product_label, resource, ",
    ),
    # missing
    ("profiles/bare", {}, "profiles['bare'].image: missing; it is required"),
    ("gpu_classes/bare", {}, "gpu_classes['bare'].accepts: missing; it is required"),
    ("gpu_classes/bare", {"accepts": []}, "gpu_classes['bare'].accepts: found [], allowed: a list that is not empty"),
    # amounts
    (
        "gpu_classes/small/memory",
        "16GB",
        "gpu_classes['small'].memory: found '16GB', allowed: a Kubernetes quantity of bytes such as 8G or 40Gi",
    ),
    (
        "profiles/pytorch/memory",
        "128m",
        (
            "profiles['pytorch'].memory: found '128m', allowed: a Kubernetes quantity of bytes such as 8G or 40Gi "
            "(m means thousandths, M is mega)"
        ),
    ),
    (
        "profiles/pytorch/cpu",
        "two",
        "profiles['pytorch'].cpu: found 'two', allowed: a number of CPU cores such as 2, 0.5 or 500m",
    ),
    (
        "profiles/pytorch/cpu",
        {"default": 2, "max": "x"},
        "profiles['pytorch'].cpu.max: found 'x', allowed: a number of CPU cores such as 2, 0.5 or 500m",
    ),
    (
        "profiles/pytorch/cpu",
        {"max": 4},
        ('cpu: found {\'max\': 4}, allowed: one value, or a mapping with "default" and, around it, "min" and "max"'),
    ),
    (
        "profiles/pytorch/cpu",
        {"default": 4, "min": 1, "max": 2},
        (
            "profiles['pytorch'].cpu: found {'default': 4, 'min': 1, 'max': 2}, allowed: min, default and max in "
            "ascending order"
        ),
    ),
    (
        "profiles/pytorch/memory",
        0,
        "profiles['pytorch'].memory: found 0, allowed: more than 0: Kubernetes takes a limit of 0 for no limit at all",
    ),
    (
        "profiles/pytorch/runtime",
        "6 h",
        "profiles['pytorch'].runtime: found '6 h', allowed: a duration such as 30m, 6h or 1h30m",
    ),
    (
        "profiles/pytorch/idle",
        True,
        "profiles['pytorch'].idle: found True, allowed: a duration such as 30m, 6h or 1h30m, or \"never\"",
    ),
    ("profiles/pytorch/gpus", 1.5, "profiles['pytorch'].gpus: found 1.5, allowed: a whole number, 0 or more"),
    ("profiles/pytorch/gpus", "1", "profiles['pytorch'].gpus: found '1', allowed: a whole number, 0 or more"),
    (
        "workspaces/lab/quota",
        {"small": -1},
        "workspaces['lab'].quota.small: found -1, allowed: a whole number, 0 or more",
    ),
    ("gpu_classes/small/rate", "cheap", "gpu_classes['small'].rate: found 'cheap', allowed: a number"),
    ("gpu_classes/small/rate", -1, "gpu_classes['small'].rate: found -1, allowed: 0 or more"),
    ("gpu_classes/small/rate", float("inf"), "gpu_classes['small'].rate: found inf, allowed: a number"),
    # kinds
    ("profiles/pytorch", "image", "profiles['pytorch']: found 'image', allowed: a mapping"),
    ("gpu_classes", ["small"], "gpu_classes: found ['small'], allowed: a mapping of names to their settings"),
    ("profiles/pytorch/image", "", "profiles['pytorch'].image: found '', allowed: text that is not empty"),
    ("profiles/pytorch/image", 5, "profiles['pytorch'].image: found 5, allowed: text"),
    (
        "profiles/pytorch/allow_gpu_nodes",
        "maybe",
        "profiles['pytorch'].allow_gpu_nodes: found 'maybe', allowed: True or False",
    ),
    ("profiles/pytorch/apps", 6006, "profiles['pytorch'].apps: found 6006, allowed: a list"),
    (
        "profiles/pytorch/apps",
        [{"display_name": "x", "port": 70000}],
        "profiles['pytorch'].apps[0].port: found 70000, allowed: 65535 or less",
    ),
    ("workspaces/lab/quota", 5, "workspaces['lab'].quota: found 5, allowed: a mapping"),
    (
        "workspaces/lab/members",
        [5],
        (
            "workspaces['lab'].members[0]: found 5, allowed: a user name, or a rule such as "
            '{"claim": "groups", "matches": "course:*"}'
        ),
    ),
    (
        "workspaces/lab/members",
        [{"claim": "groups"}],
        "workspaces['lab'].members[0]: found {'claim': 'groups'}, allowed: exactly one of equals, matches and regex",
    ),
    (
        "workspaces/lab/budget",
        {"renews": "daily"},
        "budget.renews: found 'daily', allowed: 'weekly', 'monthly', 'quarterly', 'terms', 'rolling' or 'never'",
    ),
    # dates
    (
        "workspaces/lab/starts",
        "21.9.2026",
        "workspaces['lab'].starts: found '21.9.2026', allowed: a date such as 2026-09-21",
    ),
    ("workspaces/lab/starts", 2026, "workspaces['lab'].starts: found 2026, allowed: a date such as 2026-09-21"),
    ("workspaces/cse151a/ends", "2026-09-20", "a day ends that is not before the day starts"),
    (
        "workspaces/cse151a/exceptions",
        [{"from": "2026-10-02", "to": "2026-10-01"}],
        (
            "exceptions[0]: found {'from': '2026-10-02', 'to': '2026-10-01'}, allowed: a day to that "
            "is not before the day from"
        ),
    ),
    # names
    (
        "workspaces/CSE 151A",
        {},
        "workspaces: found the name 'CSE 151A', allowed: 1 to 63 characters of a-z, 0-9, '-', '_' and '.'",
    ),
    (
        "gpu_classes/any",
        {"accepts": [{"resource": "a.b/c"}]},
        "gpu_classes['any']: the name 'any' has a meaning of its own",
    ),
    (
        "profiles/pytorch/gpu_classes",
        ["small", "small"],
        "profiles['pytorch'].gpu_classes: found ['small', 'small'], allowed: each name once, not 'small' twice",
    ),
    (
        "gpu_classes/small/accepts",
        [{"product": "Tesla-T4"}],
        "accepts[0]: found {'product': 'Tesla-T4'}, allowed: either a resource such as nvidia.com/gpu or a ",
    ),
    (
        "gpu_classes/small/accepts",
        [{"resource": "nvidia.com/gpu", "selector": "true"}],
        "allowed: selector only with device_class; a resource is narrowed by product",
    ),
    (
        "gpu_classes/small/accepts",
        [{"device_class": "gpu.nvidia.com", "selector": "device."}],
        "allowed: a CEL expression as selector (a name is missing in 'device.')",
    ),
    (
        "gpu_classes/small/accepts",
        [{"device_class": "gpu.example.org", "product": "A100"}],
        "allowed: product only with device classes of nvidia.com, amd.com, gpu.intel.com; use selector",
    ),
    (
        "gpu_classes/small/accepts",
        [{"resource": "gpu"}],
        (
            "accepts[0].resource: found 'gpu', allowed: an extended resource with its vendor's domain, "
            "such as nvidia.com/gpu"
        ),
    ),
    ("namespace", "my_ns", "namespace: found 'my_ns', allowed: a namespace: 1 to 63 characters of a-z, 0-9 and '-'"),
    ("image_pull_secrets", ["Bad"], "image_pull_secrets[0]: found 'Bad', allowed: the name of a Secret"),
    (
        "storage",
        {"mount_path": "home"},
        "storage.mount_path: found 'home', allowed: an absolute path such as /home/jovyan",
    ),
    ("connect", {"host": "10.0.0.1"}, "connect.host: found '10.0.0.1', allowed: a URL such as https://10.0.0.1:6443"),
    ("off_peak", {"hours": "1-16", "rate": 1}, "off_peak.hours: found '1-16', allowed: hours such as 01:00-16:00"),
    (
        "timezone",
        "America/Los_Angels",
        (
            "found 'America/Los_Angels', allowed: an IANA time zone such as America/Los_Angeles; did you mean "
            "'America/Los_Angeles'?"
        ),
    ),
    ("timezone", 5, "timezone: found 5, allowed: an IANA time zone such as America/Los_Angeles"),
    # references
    (
        "profiles/pytorch/gpu_classes",
        "smal",
        "profiles['pytorch'].gpu_classes: found 'smal', which is no GPU class; did you mean 'small'?",
    ),
    (
        "workspaces/lab/profiles",
        ["pytroch"],
        "workspaces['lab'].profiles: found 'pytroch', which is no profile; did you mean 'pytorch'?",
    ),
    (
        "workspaces/lab/quota",
        {"huge": 1},
        "workspaces['lab'].quota: found 'huge', which is no GPU class; known: instinct, medium, small, whole",
    ),
    (
        "workspaces/lab/exceptions",
        [{"from": "2026-10-01", "to": "2026-10-01", "quota": {"smal": 1}}],
        "workspaces['lab'].exceptions[0].quota: found 'smal', which is no GPU class; did you mean 'small'?",
    ),
    ("profiles/minimal/gpus", 1, "allowed: gpus above 0 only together with gpu_classes"),
    # patches
    ("profiles/minimal/pod", [], "profiles['minimal'].pod: found [], allowed: a mapping"),
    (
        "profiles/minimal/pod",
        {"sepc": {}},
        "pod: found {'sepc': {}}, allowed: a PodTemplateSpec, which has metadata and spec, not sepc",
    ),
    (
        "pod_template",
        {"spec": {"containers": [{"image": "x"}]}},
        "allowed: a strategic merge patch (containers: every item needs name to be merged)",
    ),
    (
        "pod_template",
        {"spec": None},
        "allowed: a patch that leaves the metadata and the container 'notebook' in the pod",
    ),
    ("pod_template", {"metadata": None}, "a patch that leaves the metadata and the container 'notebook' in the pod"),
    (
        "pod_template",
        {"spec": {"$patch": "replace", "containers": [{"name": "other"}]}},
        "a patch that leaves the metadata and the container 'notebook' in the pod",
    ),
    (
        "pod_template",
        {"spec": {"containers": [{"name": "notebook", "$patch": "delete"}]}},
        "a patch that leaves the metadata and the container 'notebook' in the pod",
    ),
    ("pod_template", {"metadata": {"labels": {"a": 1}}}, "pod_template.metadata.labels.a: found 1, allowed: text"),
    (
        "pod_template",
        {"metadata": {"namespace": "x"}},
        "metadata.namespace: found 'x', allowed: nothing here: c.GPUSpawner.namespace says where pods are made",
    ),
    ("pod_template", {"metadata": {"name": "x"}}, "allowed: nothing here: the pod is named after its user and server"),
    (
        "pod_template",
        {"spec": {"nodeName": "n1"}},
        (
            "spec.nodeName: found 'n1', allowed: nothing here: the scheduler chooses the node; use nodeSelector "
            "or affinity"
        ),
    ),
    (
        "pod_template",
        {"spec": {"activeDeadlineSeconds": 5}},
        "the runtime of the profile says how long a server may run",
    ),
    ("pod_template", {"spec": {"tolerations": "all"}}, "pod_template.spec.tolerations: found 'all', allowed: a list"),
    (
        "pod_template",
        {"spec": {"containers": [{"name": "notebook", "resources": {"requests": {"cpu": "lots"}}}]}},
        (
            "spec.containers[0].resources.requests.cpu: found 'lots', allowed: a Kubernetes quantity such as "
            "500m, 2 or 8G"
        ),
    ),
    (
        "workspaces/lab/pod",
        {"spec": {"containers": [{"name": "sidecar", "resources": {"limits": {"nvidia.com/mig-1g.5gb": 1}}}]}},
        ("pod: found nvidia.com/mig-1g.5gb, allowed: GPUs by gpus and gpu_classes only, so that the quota counts them"),
    ),
]


@pytest.mark.parametrize(("path", "value", "line"), MISTAKES)
def test_a_mistake_is_told_with_path_found_and_allowed(path: str, value: Any, line: str) -> None:
    assert line in only_problem(path, value)


def test_every_mistake_is_told_at_once() -> None:
    config = section()
    config["gpu_classes"]["small"]["memory"] = "16GB"
    config["profiles"]["pytorch"].update(gpu_classes=["smal"], cpu="x")
    config["workspaces"]["lab"].update(profiles=["pytroch"], starts="soon")
    config["workspaces"]["cse151a"]["exceptions"][0] = {"to": 5, "quota": {"huge": 1}}
    found = problems({**config, "namspace": "x"}, set())
    assert [line.removeprefix("c.GPUSpawner.").split(": ")[0] for line in found] == [
        "namspace",
        "gpu_classes['small'].memory",
        "profiles['pytorch'].cpu",
        "workspaces['cse151a'].exceptions[0].from",
        "workspaces['cse151a'].exceptions[0].to",
        "workspaces['lab'].starts",
        "profiles['pytorch'].gpu_classes",
        "workspaces['cse151a'].exceptions[0].quota",
        "workspaces['lab'].profiles",
    ]


def test_an_entry_with_a_mistake_of_its_own_is_still_known_to_others() -> None:
    assert len(problems(changed("gpu_classes/small/memory", "16GB"))) == 1
    assert len(problems(changed("profiles/pytorch/image", ""))) == 1


def test_the_message_counts_the_mistakes_and_lists_each_on_its_line() -> None:
    one = ConfigurationError(["a: b"])
    two = ConfigurationError(["a: b", "c: d"])
    assert str(one) == "gpuspawner: 1 mistake in the configuration:\n  a: b"
    assert str(two) == "gpuspawner: 2 mistakes in the configuration:\n  a: b\n  c: d"


def test_an_unknown_key_is_a_mistake_and_an_inherited_one_is_not() -> None:
    assert load_settings(section(start_timeout=5), {"start_timeout"})
    assert problems(section(profile={}), {"start_timeout"}) == [
        "c.GPUSpawner.profile: unknown key; did you mean 'profiles'?"
    ]


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], [None], {"x": None}, {"x": []}, {5: {}}, float("nan"), {"": {"": ""}}]
)
@pytest.mark.parametrize(
    "key", sorted([*SECTION, "storage", "connect", "off_peak", "pod_template", "namespace", "image_pull_secrets"])
)
def test_a_value_of_any_kind_is_either_read_or_told_as_a_mistake(key: str, value: Any) -> None:
    lines: list[str] = []
    try:
        load_settings(section(**{key: value}))
    except ConfigurationError as error:
        lines = error.problems
    assert all(line.startswith("c.GPUSpawner.") for line in lines)
    assert not findall(r"Input should|valid dictionary|pydantic|function-", str(lines))


def test_the_example_of_the_design_is_read() -> None:
    settings = load_settings(_DESIGN)
    medium = settings.catalog.gpu_classes["medium"]
    assert medium.memory == 40 * 2**30
    assert medium.accepts[1] == Offer(resource="nvidia.com/mig-3g.40gb")
    pytorch = settings.catalog.profiles["pytorch"]
    assert (pytorch.cpu.default, pytorch.cpu.min, pytorch.cpu.max) == (2, 1, 16)
    assert (pytorch.memory.default, pytorch.memory.min, pytorch.memory.max) == (8 * 10**9, 10**9, 128 * 10**9)
    assert (pytorch.gpus.default, pytorch.gpus.min, pytorch.gpus.max) == (1, 0, 2)
    assert (pytorch.runtime.default, pytorch.runtime.min, pytorch.runtime.max) == (21600, 600, 43200)
    course = settings.workspaces["cse151a-fa26"]
    assert (course.starts, course.ends) == (date(2026, 9, 21), date(2026, 12, 18))
    assert not settings.notices


def test_an_empty_section_has_working_defaults() -> None:
    settings = load_settings({})
    assert settings.namespace == "default"
    assert settings.storage is not None
    assert settings.storage.size == 10 * 2**30
    assert str(settings.timezone) == "UTC"
    assert load_settings({"storage": None}).storage is None


def test_a_single_value_fixes_a_range() -> None:
    settings = load_settings({"profiles": {"p": {"image": "x", "cpu": "500m", "memory": "2Gi"}}})
    cpu = settings.catalog.profiles["p"].cpu
    assert (cpu.default, cpu.min, cpu.max) == (0.5, 0.5, 0.5)


def test_a_profile_with_gpu_classes_offers_one_gpu_unless_it_says_otherwise() -> None:
    config = changed("profiles/more", {"image": "x", "gpu_classes": "small"})
    gpus = load_settings(config).catalog.profiles["more"].gpus
    assert (gpus.default, gpus.min, gpus.max) == (1, 0, 1)


NOTICES: list[tuple[str, Any, str]] = [
    (
        "workspaces/cse151a/profiles",
        ["minimal"],
        "workspaces['cse151a'].quota['small']: no profile of this workspace offers this GPU class",
    ),
    (
        "workspaces/lab/profiles",
        [],
        "workspaces['lab'].profiles: no profile is on offer, so nobody can start a server here",
    ),
    ("workspaces/lab/members", [], "workspaces['lab'].members: nobody belongs to this workspace"),
    (
        "workspaces/lab/quota",
        {"small": 1},
        "workspaces['lab'].profiles: 'training' needs a GPU, and the quota grants none of its GPU classes",
    ),
    (
        "workspaces/cse151a/exceptions",
        [{"from": "2027-01-01", "to": "2027-01-02", "quota": {"small": 1}}],
        "workspaces['cse151a'].exceptions[0]: the workspace is closed on all of its days",
    ),
    (
        "workspaces/cse151a/exceptions",
        [
            {"from": "2026-10-01", "to": "2026-10-09", "quota": {"small": 1}},
            {"from": "2026-10-09", "to": "2026-10-12", "quota": {"small": 2, "medium": 1}},
        ],
        "workspaces['cse151a'].exceptions[0] and [1] overlap on small: the latter wins",
    ),
    (
        "workspaces/lab/budget",
        {"renews": "monthly"},
        "workspaces['lab'].budget: neither per_member nor pool, so it bounds nothing",
    ),
    (
        "off_peak",
        {"hours": "01:00-16:00", "rate": 0.5},
        "off_peak: no workspace has a budget, so it is only noted in the ledger",
    ),
    (
        "workspaces/lab",
        {"members": "*", "profiles": "training", "gpu_classes": ["medium", "small"]},
        "workspaces['lab'].gpu_classes: no profile of this workspace offers 'small'",
    ),
    (
        "workspaces/lab",
        {"members": "*", "profiles": "training", "gpu_classes": []},
        "workspaces['lab'].profiles: 'training' needs a GPU, and the quota grants none of its GPU classes",
    ),
    (
        "workspaces/cse151a/per_launch",
        {"runtime": "5m"},
        "workspaces['cse151a'].per_launch.runtime: less than 'pytorch' needs, so nobody can start that here",
    ),
    (
        "workspaces/cse151a/borrowing_limit",
        {"small": 1},
        "workspaces['cse151a'].borrowing_limit: no cohort lends anything to this workspace",
    ),
    (
        "cohorts",
        {"a": {"workspaces": ["cse151a", "everyone"], "reserve": {"small": 1}}},
        "cohorts['a'].reserve: nothing is kept free, since nothing is lent without borrowing",
    ),
    (
        "cohorts",
        {"a": {"workspaces": ["cse151a", "everyone"], "reserve": {"small": 6}, "borrowing": True}},
        "cohorts['a'].reserve['small']: all 6 are kept in reserve, so nothing can be borrowed",
    ),
    (
        "cohorts",
        {"a": {"workspaces": ["cse151a", "lab"], "borrowing": True}},
        "cohorts['a'].borrowing: a workspace without quota lends nothing",
    ),
    (
        "cohorts",
        {"a": {"workspaces": "cse151a", "borrowing": True}},
        "cohorts['a'].borrowing: there is nobody to borrow from",
    ),
    (
        "profiles/pytorch/images",
        ["quay.io/lab/*", "ghcr.io/lab*"],
        ("profiles['pytorch'].images: 'ghcr.io/lab*' fits 'ghcr.io/lab-of-somebody-else/x', too; is it ghcr.io/lab/*?"),
    ),
]


@pytest.mark.parametrize(("path", "value", "notice"), NOTICES)
def test_what_can_hardly_be_meant_is_noticed(path: str, value: Any, notice: str) -> None:
    before = load_settings(section()).notices
    now = load_settings(changed(path, value)).notices
    assert next(line for line in now if line not in before) == f"c.GPUSpawner.{notice}"


def test_the_section_of_a_configuration_file_comes_out_as_plain_values() -> None:
    config = Config()
    config.GPUSpawner.profiles = {"p": {"image": "x"}}
    config.GPUSpawner.image_pull_secrets.append("registry")
    config.GPUSpawner.workspaces.update({"everyone": {"members": "*"}})
    found = section_of(config)
    assert found["profiles"] == {"p": {"image": "x"}}
    assert list(load_settings(found).workspaces) == ["everyone"]


_DESIGN: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small, 16 GB",
            "memory": "16Gi",
            "rate": 0.5,
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {
            "display_name": "Medium, 40-80 GB",
            "memory": "40Gi",
            "rate": 1,
            "accepts": [
                {"resource": "nvidia.com/gpu", "product": ["NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB"]},
                {"resource": "nvidia.com/mig-3g.40gb"},
            ],
        },
    },
    "profiles": {
        "pytorch": {
            "display_name": "PyTorch",
            "description": "...",
            "image": "quay.io/jupyter/pytorch-notebook:cuda12",
            "cpu": {"default": 2, "min": 1, "max": 16},
            "memory": {"default": "8G", "max": "128G"},
            "gpu_classes": ["small", "medium"],
            "gpus": {"default": 1, "max": 2},
            "runtime": {"default": "6h", "max": "12h"},
            "idle": "30m",
            "apps": [{"display_name": "TensorBoard", "port": 6006}],
            "pod": {},
        },
    },
    "workspaces": {
        "everyone": {"members": "*", "quota": {"small": 4}, "budget": {"per_member": 10, "renews": "weekly"}},
        "cse151a-fa26": {
            "display_name": "CSE 151A, Fall 2026",
            "starts": "2026-09-21",
            "ends": "2026-12-18",
            "members": [{"claim": "groups", "matches": "course:cse151a:*"}],
            "managers": ["prof"],
            "profiles": ["pytorch"],
            "quota": {"medium": 12},
            "per_member": {"gpus": 1, "cpu": 8, "memory": "64G", "servers": 2},
            "budget": {"per_member": 10, "pool": 2000, "renews": "weekly"},
            "exceptions": [{"from": "2026-11-30", "to": "2026-12-04", "quota": {"medium": 24}}],
        },
    },
    "off_peak": {"hours": "01:00-16:00", "rate": 0.5, "timezone": "America/Los_Angeles"},
}
