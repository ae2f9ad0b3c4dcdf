"""The launch form: what it shows, and what becomes of what is posted."""

import json
import re
from collections.abc import Sequence
from contextvars import copy_context
from datetime import datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.admission import Availability, Capacity, Held, OfferCapacity, Part, State
from gpuspawner.config import Settings, load_settings
from gpuspawner.entitlement import WorkspaceOffer, entitlements
from gpuspawner.errors import BadRequestError, ServerFailedError
from gpuspawner.request import LaunchRequest, parse_request
from gpuspawner.web.errors import html_of
from gpuspawner.web.form import describe_launch, render_form
from gpuspawner.web.offers import GB, data_of
from gpuspawner.web.options import linked, options_from_form, posted, take_link

NOW = datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("America/Los_Angeles"))
HOSTILE = "<img src=x onerror=alert(1)></script>'\""
SECTION: dict[str, Any] = {
    "gpu_classes": {
        "small": {
            "display_name": "Small, 16 GB",
            "memory": "16Gi",
            "accepts": [{"resource": "nvidia.com/gpu", "product": "Tesla-T4"}],
        },
        "medium": {"accepts": [{"resource": "nvidia.com/gpu", "product": "NVIDIA-A100-SXM4-40GB"}]},
    },
    "profiles": {
        "pytorch": {
            "display_name": "PyTorch",
            "image": "pytorch",
            "cpu": {"default": 2, "max": 16},
            "memory": {"default": "8G", "max": "128G"},
            "gpu_classes": ["small", "medium"],
            "gpus": {"default": 1, "max": 2},
        },
        "writing": {"image": "scipy", "cpu": 1, "memory": "2G"},
    },
    "workspaces": {
        "everyone": {"members": "*", "quota": {"small": 4}},
        "cse151a": {"display_name": "CSE 151A", "ends": "2026-12-18", "per_member": {"cpu": 8, "servers": 1}},
    },
}
SETTINGS = load_settings(SECTION)


class Fields(HTMLParser):
    """What a browser without JavaScript would post, and every tag it would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))

    def inputs(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == "input" and attrs.get("name") == name]

    def values(self, name: str) -> list[str | None]:
        return [attrs["value"] for attrs in self.inputs(name)]

    def checked(self, name: str) -> str | None:
        (value,) = [attrs["value"] for attrs in self.inputs(name) if "checked" in attrs]
        return value

    def posted(self, **changes: str) -> dict[str, list[str]]:
        fields: dict[str, list[str]] = {}
        for tag, attrs in self.tags:
            name = attrs.get("name")
            if tag == "input" and name and (attrs.get("type") != "radio" or "checked" in attrs):
                fields[name] = [attrs["value"] or ""]
        return {**fields, **{name: [value] for name, value in changes.items()}}


def render(settings: Settings = SETTINGS, usage: list[Held] | None = None, **more: Any) -> str:
    offers = entitlements("ada", set(settings.workspaces), settings, usage or [], Capacity(), NOW)
    return render_form(offers, **more)


def request_of(form: dict[str, list[str]]) -> LaunchRequest:
    return parse_request(
        options_from_form(form), user="ada", server="", workspaces={"everyone", "cse151a"}, settings=SETTINGS, now=NOW
    )


def test_the_form_shows_workspaces_profiles_and_classes_of_this_login_only() -> None:
    offers = entitlements("ada", {"everyone"}, SETTINGS, [], Capacity(), NOW)
    fields = Fields(render_form(offers))
    assert fields.values("workspace") == ["everyone"]
    assert fields.values("profile") == ["pytorch", "writing"]
    assert fields.values("gpu_class") == ["", "small", "medium", "any", "none"]


def test_without_javascript_the_untouched_form_launches_the_default() -> None:
    request = request_of(Fields(render()).posted())
    assert (request.workspace, request.profile, request.gpu_classes, request.gpus) == (
        "everyone",
        "pytorch",
        ("small",),
        1,
    )
    assert (request.cpu, request.memory, request.runtime) == (2, 8 * 10**9, 6 * 3600)


def test_an_image_can_be_named_where_there_is_a_choice_and_the_last_one_is_kept() -> None:
    assert "image" not in Fields(render()).posted(), "no environment has a choice"
    profiles = {**SECTION["profiles"], "pytorch": {**SECTION["profiles"]["pytorch"], "images": "quay.io/lab/*"}}
    settings = load_settings({**SECTION, "profiles": profiles})
    page = Fields(render(settings, initial={"image": "quay.io/lab/x"}))
    assert page.posted()["image"] == ["quay.io/lab/x"]
    assert "Names like quay.io/lab/*." in page.texts
    own = Fields(render(settings, initial={"image": SECTION["profiles"]["pytorch"]["image"]})).posted()
    assert own["image"] == [""], "the environment's own image is no choice of its own"


def test_without_javascript_a_profile_without_gpu_can_be_chosen() -> None:
    request = request_of(Fields(render()).posted(profile="writing"))
    assert (request.profile, request.gpus, request.gpu_classes) == ("writing", 0, ())


def test_every_amount_of_the_form_reaches_the_request() -> None:
    request = request_of(
        Fields(render()).posted(
            workspace="cse151a",
            gpu_class="any",
            gpus="2",
            cpu="0.5e1",
            memory_gb="12.5",
            runtime_hours="1.5",
            wait_minutes="45",
        )
    )
    assert (request.workspace, request.gpu_classes, request.gpus) == ("cse151a", ("small", "medium"), 2)
    assert (request.cpu, request.memory, request.runtime) == (5, 12_500_000_000, 5400)
    assert request.wait == 2700


def test_no_gpu_is_a_choice() -> None:
    assert options_from_form({"gpu_class": ["none"], "gpus": ["2"]}) == {"gpus": "0"}


def test_several_classes_stay_a_list_in_order_of_preference() -> None:
    assert options_from_form({"gpu_class": ["medium", "small"]}) == {"gpu_class": ["medium", "small"]}


def test_empty_fields_tokens_and_files_are_dropped_and_unknown_keys_are_left_to_the_check() -> None:
    form: dict[str, Any] = {
        "cpu": [" "],
        "_xsrf": ["t"],
        "notes_file": [{"body": b"x"}],
        "gpu": ["2"],
        "profile": ["p "],
    }
    assert options_from_form(form) == {"gpu": "2", "profile": "p"}


@pytest.mark.parametrize(("field", "word"), [("memory_gb", "memory"), ("runtime_hours", "runtime"), ("cpu", "cpu")])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e9999", "9" * 40, "8; rm", HOSTILE])
def test_a_posted_amount_that_makes_no_sense_is_refused_with_a_sentence(field: str, word: str, value: str) -> None:
    with pytest.raises(BadRequestError, match=word):
        request_of({field: [value]})


def test_the_same_amount_posted_twice_is_refused_not_picked_from() -> None:
    with pytest.raises(BadRequestError):
        request_of({"cpu": ["1", "2"]})


@given(st.dictionaries(st.text(max_size=12), st.lists(st.text(max_size=8) | st.none() | st.binary(max_size=4))))
def test_whatever_is_posted_becomes_options_that_json_can_hold(form: dict[str, list[Any]]) -> None:
    json.dumps(options_from_form(form))


@pytest.mark.parametrize(
    ("found", "taken", "left"),
    [
        ({"opt-gpu_class": [b"small", b"medium"]}, {"gpu_class": ["small", "medium"]}, {}),
        ({"opt-cpu": [b"4"], "cpu": [b"8"], "next": [b"/x"]}, {"cpu": "4"}, {"next": [b"/x"]}),
        ({"profile": [b"pytorch"], "display_name": [b"A"]}, {"profile": "pytorch"}, {"display_name": [b"A"]}),
        ({"opt-gpu_class": [b"none"]}, {"gpus": "0"}, {}),
        ({"opt-image": [b"\xff"]}, {"image": "\ufffd"}, {}),
        ({"opt-": [b"x"], "opt-unknown": [b"x"], "utm_source": [b"mail"]}, None, {}),
    ],
)
def test_a_link_is_taken_out_of_a_request_before_it_starts_anything(
    found: dict[str, list[bytes]], taken: Any, left: dict[str, list[bytes]]
) -> None:
    def take() -> Any:
        take_link(found)
        return linked()

    assert copy_context().run(take) == taken
    assert found == left
    assert linked() is None


@pytest.mark.parametrize(
    ("asked", "order"),
    [
        (["medium", "small"], ["medium", "small"]),
        (["medium", "gone", "medium", "small"], ["medium", "small"]),
        (["medium"], []),
        (["medium", "gone"], []),
        ([1, {}], []),
        ("any", []),
    ],
)
def test_classes_chosen_in_order_of_preference_are_there_again(asked: Any, order: list[str]) -> None:
    shown = render(initial={"workspace": "cse151a", "profile": "pytorch", "gpu_class": asked})
    assert first_of(shown)["order"] == order
    expected = "any" if order or asked == "any" else "medium" if asked[0] == "medium" else ""
    assert Fields(shown).checked("gpu_class") == expected


def first_of(shown: str) -> Any:
    """What the form's script is told of the first choice."""
    found = re.search(r'id="gs-data">(.*?)</script>', shown, re.DOTALL)
    assert found is not None
    return json.loads(found[1])["first"]


def test_the_last_choice_is_filled_in() -> None:
    initial = {
        "workspace": "cse151a",
        "profile": "pytorch",
        "gpu_class": "medium",
        "gpus": "2",
        "memory": "16G",
        "runtime": "90m",
    }
    fields = Fields(render(initial=initial))
    assert [fields.checked(name) for name in ("workspace", "profile", "gpu_class")] == ["cse151a", "pytorch", "medium"]
    assert [fields.values(name) for name in ("gpus", "cpu", "memory_gb", "runtime_hours")] == [
        ["2"],
        [""],
        ["16"],
        ["1.5"],
    ]


def test_a_last_choice_without_gpu_is_filled_in() -> None:
    assert Fields(render(initial={"profile": "pytorch", "gpus": 0})).checked("gpu_class") == "none"


@pytest.mark.parametrize(
    "initial",
    [
        {"workspace": "gone", "profile": "gone", "gpu_class": "gone"},
        {"workspace": ["everyone"], "profile": {}, "gpu_class": [[]], "gpus": "two"},
        {"cpu": "NaN", "memory": "1e999", "runtime": -3, "gpus": [1], "profile": HOSTILE},
        {"memory": 10**400, "cpu": float("inf"), "runtime": None},
    ],
)
def test_a_last_choice_that_no_longer_fits_is_passed_over(initial: dict[str, Any]) -> None:
    fields = Fields(render(initial=initial))
    assert fields.checked("workspace") == "everyone"
    assert fields.checked("gpu_class") == ""
    assert [fields.values(name) for name in ("gpus", "cpu", "memory_gb", "runtime_hours")] == [[""]] * 4


def test_a_last_choice_that_cannot_be_had_now_gives_way_to_one_that_can() -> None:
    busy = [Held("ada", "other", "cse151a", (), 0, 1, 1)]
    fields = Fields(render(usage=busy, initial={"workspace": "cse151a"}))
    assert fields.checked("workspace") == "everyone"
    (greyed,) = [attrs for attrs in fields.inputs("workspace") if "disabled" in attrs]
    assert greyed["value"] == "cse151a"
    assert "You have 1 of your 1 server in CSE 151A: stop one to start another." in fields.texts


def test_names_and_descriptions_are_escaped_wherever_they_stand() -> None:
    section = json.loads(json.dumps(SECTION))
    section["workspaces"]["everyone"]["display_name"] = HOSTILE
    section["profiles"]["pytorch"] |= {"display_name": HOSTILE, "description": HOSTILE}
    section["gpu_classes"]["small"] |= {"display_name": HOSTILE, "description": HOSTILE}
    fields = Fields(render(load_settings(section), server=HOSTILE))
    assert not [attrs for tag, attrs in fields.tags if tag == "img"]
    assert "".join(fields.texts).count(HOSTILE) >= 6
    scripts = [attrs for tag, attrs in fields.tags if tag == "script"]
    assert [attrs["type"] for attrs in scripts] == ["module", "application/json"]


def test_free_gpus_are_told_on_the_card() -> None:
    small, medium = SETTINGS.catalog.offers()
    capacity = Capacity({small: OfferCapacity(free=3, total=8), medium: OfferCapacity(total=4)}, live=True)
    for cluster_wide, words in ((True, "3 of 8 free now"), (False, "up to 3 of 8 free now")):
        known = Capacity(capacity.offers, live=True, cluster_wide=cluster_wide)
        texts = Fields(render_form(entitlements("ada", {"everyone"}, SETTINGS, [], known, NOW))).texts
        assert {words, "all 4 taken"} <= set(texts)
    assert not [text for text in Fields(render()).texts if "free now" in text]


def test_the_card_of_a_class_that_is_taken_says_when_its_turn_comes() -> None:
    small, _ = SETTINGS.catalog.offers()
    capacity = Capacity({small: OfferCapacity(total=8)}, live=True, cluster_wide=True)
    states = {("everyone", "pytorch", "small"): Availability(State.BUSY, "All 8 are taken.", wait=700.0)}
    offers = entitlements("ada", {"everyone"}, SETTINGS, [], capacity, NOW, availability=states)
    assert "all 8 taken, your turn in about 12 min" in Fields(render_form(offers)).texts


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Availability(State.FREE, ""), "3 of 8 free now"),
        (Availability(State.BUSY, ""), "3 of 8 free, but no node has room for this now"),
        (Availability(State.NEEDS_NODE, ""), "a node is added when you start, which takes minutes"),
        (Availability(State.MISCONFIGURED, "", Part.LABEL), "not available here: no node can run it"),
    ],
)
def test_the_card_of_a_gpu_class_says_whether_a_launch_could_start_now(known: Availability, words: str) -> None:
    small, medium = SETTINGS.catalog.offers()
    capacity = Capacity({small: OfferCapacity(free=3, total=8), medium: OfferCapacity()}, live=True, cluster_wide=True)
    states = {("everyone", "pytorch", "small"): known}
    offers = entitlements("ada", {"everyone"}, SETTINGS, [], capacity, NOW, availability=states)
    fields = Fields(render_form(offers))
    assert words in fields.texts
    assert [data["startable"] for data in _classes(offers) if data["name"] == "small"] == [known.state is State.FREE]


def _classes(offers: Sequence[WorkspaceOffer]) -> list[dict[str, Any]]:
    return [one for offer in data_of(offers, GB) for p in offer["profiles"] for one in p["gpuClasses"]]


def test_the_form_does_not_begin_with_a_class_that_no_node_can_run() -> None:
    small, medium = SETTINGS.catalog.offers()
    capacity = Capacity({small: OfferCapacity(), medium: OfferCapacity(total=8)}, live=True)
    dead = {("cse151a", "pytorch", "small"): Availability(State.MISCONFIGURED, "", Part.RESOURCE)}
    nothing: dict[tuple[str, str, str], Availability] = {}
    for states, first in ((nothing, "small"), (dead, "medium")):
        (offer,) = entitlements("ada", {"cse151a"}, SETTINGS, [], capacity, NOW, availability=states)
        assert next(p.gpu_class for p in offer.profiles if p.name == "pytorch") == first


def test_the_form_says_where_only_the_hub_s_own_servers_are_counted() -> None:
    words = "Only the servers of this hub are counted: what others in the cluster use is not seen."
    small = next(iter(SETTINGS.catalog.offers()))
    for cluster_wide in (False, True):
        capacity = Capacity({small: OfferCapacity(free=3, total=8)}, live=True, cluster_wide=cluster_wide)
        texts = Fields(render_form(entitlements("ada", {"everyone"}, SETTINGS, [], capacity, NOW))).texts
        assert (words in texts) == (not cluster_wide)
    assert words not in Fields(render()).texts, "where nothing is known, nothing is counted"


def test_an_environment_without_gpu_that_has_no_room_says_so() -> None:
    states = {("everyone", "writing", ""): Availability(State.BUSY, "")}
    offers = entitlements("ada", {"everyone"}, SETTINGS, [], Capacity(live=True), NOW, availability=states)
    assert "no room now: your server waits for some" in Fields(render_form(offers)).texts


def test_amounts_in_gib_are_shown_and_posted_in_gib() -> None:
    section = json.loads(json.dumps(SECTION))
    section["profiles"]["pytorch"]["memory"] = {"default": "8Gi", "max": "128Gi"}
    section["profiles"]["writing"]["memory"] = "2Gi"
    fields = Fields(render(load_settings(section), initial={"memory": "16Gi"}))
    assert fields.values("memory_gib") == ["16"]
    assert options_from_form({"memory_gib": ["16"]}) == {"memory": "16Gi"}


def test_a_login_without_workspace_is_told_whom_to_ask() -> None:
    html = render_form(())
    assert "You belong to no workspace that is open now." in html
    assert Fields(html).inputs("workspace") == []


def test_what_was_posted_is_known_while_its_request_is_answered_and_nowhere_else() -> None:
    def answer() -> Any:
        options_from_form({"cpu": ["4"]}, spawner=SimpleNamespace(name="thesis"))
        return posted()

    found = copy_context().run(answer)
    assert (found.server, found.options) == ("thesis", {"cpu": "4"})
    assert posted() is None


def test_a_launch_in_words() -> None:
    request = request_of({"gpu_class": ["small"]})
    words = describe_launch(request, SETTINGS.catalog)
    assert words == "PyTorch on 1 GPU (Small, 16 GB), 2 CPU cores, 8 GB, for 6 h"
    assert describe_launch(request_of({"profile": ["writing"]}), SETTINGS.catalog).startswith(
        "writing without a GPU, 1 "
    )


def test_a_refusal_is_a_reason_a_remedy_and_folded_detail_all_escaped() -> None:
    html = html_of(ServerFailedError(HOSTILE, HOSTILE, HOSTILE))
    fields = Fields(html)
    assert [tag for tag, _ in fields.tags] == ["span", "strong", "span", "details", "summary", "code"]
    assert "".join(fields.texts).count(HOSTILE) == 3
    assert "details" not in html_of(ServerFailedError("Ended.", "Try again."))
