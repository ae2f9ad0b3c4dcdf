"""What a member may ask for, and how a wrong or hostile request is answered."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import MONDAY, ask, changed, small_hub

from gpuspawner.config import load_settings
from gpuspawner.errors import BadRequestError, DeniedError, LaunchError
from gpuspawner.request import OPTIONS, LaunchRequest, parse_request

HUB = small_hub()
LAB = {"workspace": "lab"}


def refusal(options: dict[str, Any], **hub: Any) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        ask(HUB, options, **hub)
    return caught.value


def test_a_request_keeps_what_was_asked_for_and_not_what_was_left_to_its_default() -> None:
    asked = ask(HUB, {"workspace": "lab", "cpu": " 4 ", "memory": "", "gpu_class": ["small"]})
    assert asked.asked == {"workspace": "lab", "cpu": "4", "gpu_class": ["small"]}
    assert asked == ask(HUB, {"workspace": "lab", "cpu": 4, "gpus": 1, "gpu_class": "small"}), "it is the same launch"


def test_a_request_that_says_nothing_takes_the_defaults_of_the_default_workspace() -> None:
    assert ask(HUB) == LaunchRequest(
        user="ada",
        server="",
        workspace="everyone",
        profile="pytorch",
        gpu_classes=("small",),
        gpus=1,
        cpu=2.0,
        memory=8 * 10**9,
        runtime=21600,
        image="quay.io/jupyter/pytorch-notebook:cuda12",
    )


GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"workspace": None, "profile": "", "gpu_class": [], "gpus": "", "cpu": None, "memory": ""}, {}),
    ({"gpus": 0}, {"gpus": 0, "gpu_classes": ()}),
    ({"gpus": "3"}, {"gpus": 3}),
    ({"gpus": " 3 "}, {"gpus": 3}),
    ({"gpus": 3.0}, {"gpus": 3}),
    ({"gpus": "03"}, {"gpus": 3}),
    ({"cpu": 1.5}, {"cpu": 1.5}),
    ({"cpu": "2500m"}, {"cpu": 2.5}),
    ({"cpu": "1.00001"}, {"cpu": 1.001}),
    ({"memory": "64G"}, {"memory": 64 * 10**9}),
    ({"memory": "64Gi"}, {"memory": 64 * 2**30}),
    ({"memory": 64 * 10**9}, {"memory": 64 * 10**9}),
    ({"memory": 64e9}, {"memory": 64 * 10**9}),
    ({"memory": "1e9"}, {"memory": 10**9}),
    ({"runtime": "1h30m"}, {"runtime": 5400}),
    ({"runtime": 3600}, {"runtime": 3600}),
    ({"image": "quay.io/jupyter/pytorch-notebook:cuda12"}, {}),
    ({"profile": "minimal"}, {"profile": "minimal", "gpus": 0, "gpu_classes": (), "cpu": 1.0, "memory": 2 * 10**9}),
    ({**LAB}, {"workspace": "lab"}),
    ({**LAB, "gpu_class": "medium"}, {"workspace": "lab", "gpu_classes": ("medium",)}),
    ({**LAB, "gpu_class": ["medium", "small"]}, {"workspace": "lab", "gpu_classes": ("medium", "small")}),
    ({**LAB, "gpu_class": ["medium", "small", "medium"]}, {"workspace": "lab", "gpu_classes": ("medium", "small")}),
    ({**LAB, "gpu_class": ("small",)}, {"workspace": "lab", "gpu_classes": ("small",)}),
    ({**LAB, "gpu_class": "any"}, {"workspace": "lab", "gpu_classes": ("small", "medium", "whole", "instinct")}),
    ({**LAB, "gpu_class": ["any"]}, {"workspace": "lab", "gpu_classes": ("small", "medium", "whole", "instinct")}),
    ({"workspace": "cse151a", "gpu_class": "any"}, {"workspace": "cse151a", "gpu_classes": ("small", "medium")}),
    ({"gpus": 0, "gpu_class": "medium"}, {"gpus": 0, "gpu_classes": ()}),
]


@pytest.mark.parametrize(("options", "expected"), GOOD)
def test_what_is_on_offer_is_taken(options: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = ask(HUB)
    if expected.get("profile") == "minimal":
        plain = replace(plain, image="quay.io/jupyter/minimal-notebook")
    assert ask(HUB, options) == replace(plain, **expected)


def test_an_exception_grants_a_class_for_its_days() -> None:
    options = {"workspace": "cse151a", "gpu_class": "whole"}
    assert refusal(options).reason == "The GPU class whole is not on offer in CSE 151A."
    assert ask(HUB, options, now=MONDAY.replace(day=30)).gpu_classes == ("whole",)


def test_to_name_a_class_is_to_ask_for_a_gpu() -> None:
    hub = load_settings(changed("profiles/pytorch/gpus", {"default": 0, "max": 2}))
    assert ask(hub).gpus == 0
    assert ask(hub, {"gpu_class": "small"}).gpus == 1


def test_where_no_class_is_granted_the_default_is_a_launch_without_gpu() -> None:
    hub = load_settings(changed("workspaces/everyone/quota", {}))
    assert (ask(hub).gpus, ask(hub).gpu_classes) == (0, ())


def test_a_profile_that_needs_a_gpu_is_refused_where_none_is_granted() -> None:
    error = refusal({"profile": "training"})
    assert error.sentence == "Not started: Everyone grants no GPU for the profile training. Choose another profile."


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"gpu": 1}, "'gpu' is not an option of a launch. Did you mean 'gpus'?"),
    (
        {"zzzzzz": 1},
        (
            "'zzzzzz' is not an option of a launch. The options are workspace, profile, gpu_class, gpus, cpu, memory, "
            "runtime, wait, image."
        ),
    ),
    ({"profile": "pytroch"}, "The profile 'pytroch' is not on offer to Everyone. Did you mean 'pytorch'?"),
    (
        {"profile": "zzz"},
        "The profile 'zzz' is not on offer to Everyone. Choose from pytorch, minimal, anywhere, training.",
    ),
    (
        {"profile": ["pytorch"]},
        "profile must be one name, not ['pytorch']. Choose from pytorch, minimal, anywhere, training.",
    ),
    ({"workspace": "labs"}, "The workspace 'labs' is not on offer to your login. Did you mean 'lab'?"),
    ({"workspace": {"x": 1}}, "workspace must be one name, not {'x': 1}. Choose from everyone, cse151a, lab."),
    ({"gpus": 9}, "You asked for 9 GPUs; the profile PyTorch allows 0 to 4. Ask for at most 4."),
    ({"gpus": -1}, "You asked for -1 GPUs; the profile PyTorch allows 0 to 4. Ask for at least 0."),
    ({"gpus": 1.5}, "gpus 1.5 cannot be understood. The profile PyTorch allows 0 to 4."),
    ({"gpus": "many"}, "gpus 'many' cannot be understood. The profile PyTorch allows 0 to 4."),
    ({"gpus": True}, "gpus True cannot be understood. The profile PyTorch allows 0 to 4."),
    ({"gpus": 10**30}, "gpus 1000000000000000000000000000000 cannot be understood. The profile PyTorch allows 0 to 4."),
    ({"gpus": "１"}, "gpus '１' cannot be understood. The profile PyTorch allows 0 to 4."),
    ({"gpus": {"n": 1}}, "gpus {'n': 1} cannot be understood. The profile PyTorch allows 0 to 4."),
    (
        {"profile": "minimal", "gpus": 1},
        "You asked for 1 GPU; the profile Minimal offers none. Choose another profile.",
    ),
    (
        {"profile": "minimal", "gpu_class": "small"},
        "You asked for 1 GPU; the profile Minimal offers none. Choose another profile.",
    ),
    ({"cpu": 64}, "You asked for 64 CPU cores; the profile PyTorch allows 1 to 16. Ask for at most 16."),
    ({"cpu": "500m"}, "You asked for 0.5 CPU cores; the profile PyTorch allows 1 to 16. Ask for at least 1."),
    ({"cpu": "-1"}, "cpu '-1' cannot be understood. The profile PyTorch allows 1 to 16."),
    ({"cpu": float("nan")}, "cpu nan cannot be understood. The profile PyTorch allows 1 to 16."),
    ({"cpu": "1e999"}, "cpu '1e999' cannot be understood. The profile PyTorch allows 1 to 16."),
    (
        {"memory": "900G"},
        "You asked for 900 GB of memory; the profile PyTorch allows 1 GB to 128 GB. Ask for at most 128 GB.",
    ),
    (
        {"memory": 8},
        "You asked for 8 bytes of memory; the profile PyTorch allows 1 GB to 128 GB. Ask for at least 1 GB.",
    ),
    ({"memory": "8GB"}, "memory '8GB' cannot be understood. The profile PyTorch allows 1 GB to 128 GB."),
    ({"memory": "1e999"}, "memory '1e999' cannot be understood. The profile PyTorch allows 1 GB to 128 GB."),
    ({"memory": float("inf")}, "memory inf cannot be understood. The profile PyTorch allows 1 GB to 128 GB."),
    ({"memory": [8]}, "memory [8] cannot be understood. The profile PyTorch allows 1 GB to 128 GB."),
    (
        {"profile": "minimal", "memory": "4G"},
        "You asked for 4 GB of memory; the profile Minimal allows only 2 GB. Ask for at most 2 GB.",
    ),
    (
        {"runtime": "13h"},
        "You asked for 13 h of runtime; the profile PyTorch allows 10 min to 12 h. Ask for at most 12 h.",
    ),
    (
        {"runtime": "5m"},
        "You asked for 5 min of runtime; the profile PyTorch allows 10 min to 12 h. Ask for at least 10 min.",
    ),
    ({"runtime": "soon"}, "runtime 'soon' cannot be understood. The profile PyTorch allows 10 min to 12 h."),
    ({"runtime": "9" * 40}, f"runtime {'9' * 40!r} cannot be understood. The profile PyTorch allows 10 min to 12 h."),
    ({"gpu_class": "medium"}, "The GPU class Medium is not on offer in Everyone. Choose from small."),
    ({"gpu_class": "smal"}, "The GPU class 'smal' is not on offer in the profile PyTorch. Did you mean 'small'?"),
    (
        {"gpu_class": ["small", 5]},
        "gpu_class must be a name, a list of names or 'any', not ['small', 5]. Choose from small.",
    ),
    ({"gpu_class": ["any", "small"]}, "gpu_class 'any' stands alone, not in a list. Leave the other names out."),
    (
        {"gpu_class": {"small": 1}},
        "gpu_class must be a name, a list of names or 'any', not {'small': 1}. Choose from small.",
    ),
    ({"gpu_class": 5}, "gpu_class must be a name, a list of names or 'any', not 5. Choose from small."),
    (
        {"image": "evil:latest"},
        "The profile PyTorch offers no choice of image. Leave image out, or choose a profile with that image.",
    ),
    (
        {"image": ["x"]},
        "The profile PyTorch offers no choice of image. Leave image out, or choose a profile with that image.",
    ),
    (
        {"profile": "py\x00\u202etorch\n"},
        "The profile 'py\\x00\\u202etorch' is not on offer to Everyone. Did you mean 'pytorch'?",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_what_is_not_on_offer_is_refused_with_what_and_what_next(options: dict[str, Any], sentence: str) -> None:
    error = refusal(options)
    assert error.sentence == f"Not started: {sentence}"
    assert isinstance(error, BadRequestError)


def test_a_login_without_an_open_workspace_is_told_whom_to_ask() -> None:
    with pytest.raises(DeniedError, match="You do not belong to any workspace"):
        parse_request({}, user="ada", server="", workspaces=["gone"], settings=HUB, now=MONDAY)


def test_a_workspace_of_others_is_refused_in_the_same_words_as_one_that_does_not_exist() -> None:
    def told(name: str) -> str:
        with pytest.raises(BadRequestError) as caught:
            parse_request({"workspace": name}, user="ada", server="", workspaces=["everyone"], settings=HUB, now=MONDAY)
        return caught.value.sentence.replace(name, "NAME")

    assert told("lab") == told("bal")


def test_without_a_default_workspace_the_first_of_the_configuration_is_taken() -> None:
    request = parse_request({}, user="ada", server="", workspaces=["lab", "cse151a"], settings=HUB, now=MONDAY)
    assert request.workspace == "cse151a"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["1e999", "-1", "any", "small", "pytorch", "everyone", "8G", "2h", "NaN", "9" * 5000, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(OPTIONS) | st.text(max_size=10), values, max_size=4))
def test_any_options_are_a_request_within_the_profile_or_a_short_refusal(options: dict[str, Any]) -> None:
    try:
        request = ask(HUB, options)
    except LaunchError as error:
        told = error
    else:
        profile = HUB.catalog.profiles[request.profile]
        assert profile.cpu.min <= request.cpu <= profile.cpu.max
        assert profile.memory.min <= request.memory <= profile.memory.max
        assert profile.runtime.min <= request.runtime <= profile.runtime.max
        assert profile.gpus.min <= request.gpus <= profile.gpus.max
        assert set(request.gpu_classes) <= set(profile.gpu_classes)
        assert bool(request.gpus) == bool(request.gpu_classes)
        assert all(
            isinstance(number, int | float) and math.isfinite(number) for number in (request.cpu, request.memory)
        )
        return
    assert told.status in (400, 403)
    assert told.reason.endswith(".")
    assert told.remedy.endswith((".", "?"))
    assert len(told.sentence) < 400
    assert told.sentence.isprintable(), json.dumps(told.sentence)
