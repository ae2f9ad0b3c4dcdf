"""The part of CEL that selects devices."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.cel import CELError, compile_cel
from gpuspawner.devices import Device, devices_of, selected

SLICE = {
    "metadata": {"name": "a100-0"},
    "spec": {
        "driver": "gpu.nvidia.com",
        "nodeName": "a100-0",
        "pool": {"name": "a100-0", "generation": 2},
        "devices": [
            {
                "name": "gpu-0",
                "attributes": {
                    "type": {"string": "gpu"},
                    "productName": {"string": "NVIDIA A100-SXM4-80GB"},
                    "driverVersion": {"version": "580.65.6"},
                    "index": {"int": 3},
                    "nvlink": {"bool": True},
                    "resource.kubernetes.io/pcieRoot": {"string": "pci0000:00"},
                },
                "capacity": {"memory": {"value": "80Gi"}},
            }
        ],
    },
}


def device() -> Device:
    (found,) = devices_of([SLICE])
    return found


def value(expression: str, **scope: Any) -> Any:
    return compile_cel(expression)(scope)


N = "device.attributes['gpu.nvidia.com']"


@pytest.mark.parametrize(
    "expression",
    [
        "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'",
        f"{N}.productName.lowerAscii().matches('^.*a100.*$')",
        f"{N}.productName in ['NVIDIA A100-SXM4-80GB', 'NVIDIA H100 80GB HBM3']",
        f"{N}.productName.startsWith('NVIDIA') && !{N}.productName.endsWith('40GB')",
        "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0",
        "device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('79Gi'))",
        "device.capacity['gpu.nvidia.com'].memory == quantity('80Gi')",
        f"{N}.driverVersion.compareTo(semver('570.0.0')) > 0",
        f"{N}.driverVersion.isLessThan(semver('581.0.0')) && {N}.driverVersion.major() == 580",
        f"{N}.index > 2 && {N}.index < 4 && {N}.index - 1 == 2 && {N}.index % 2 == 1",
        f"{N}.nvlink",
        "device.attributes['resource.kubernetes.io'].pcieRoot == \"pci0000:00\"",
        f"has({N}.type) && !has({N}.profile)",
        f"['A100', 'H100'].exists(m, {N}.productName.contains(m))",
        f"[1, 2].all(n, n < {N}.index)",
        f"{N}.missing == 'x' || true",
        f"!({N}.missing == 'x' && false)",
        f"{N}.type == 'mig' ? false : true",
        f"!('profile' in {N})",
        "!has(device.attributes['other.example.org'].model)",
    ],
)
def test_a_device_is_selected(expression: str) -> None:
    assert selected(device(), (expression,))


@pytest.mark.parametrize(
    "expression",
    [
        f"{N}.type == 'mig'",
        f"{N}.productName == 1",
        "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('81Gi')) >= 0",
        f"{N}.missing == 'x'",
        f"{N}.productName",
        f"{N}.index > 'a'",
        "device.attributes['other.example.org'].model == 'x'",
        f"{N}.productName.matches('(')",
        "nonsense == 1",
    ],
)
def test_a_device_is_passed_over(expression: str) -> None:
    assert not selected(device(), (expression,))


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "ends too early"),
        ("device.driver ==", "ends too early"),
        ("device.driver == 'a", "cannot be understood"),
        ("device.driver = 'a'", "cannot be understood"),
        ("(1", "')' is missing"),
        ("1 2", "'2' is not expected"),
        ("open('/etc/passwd')", "the function open() is not known"),
        ("''.format(1)", "the method format() is not known"),
        ("(" * 200 + "1" + ")" * 200, "too many parentheses"),
        ("1" + " + 1" * 5000, "too long"),
    ],
)
def test_what_is_no_expression_is_told(expression: str, told: str) -> None:
    with pytest.raises(CELError, match=told.replace("(", "\\(").replace(")", "\\)")):
        compile_cel(expression)


@given(st.text(max_size=80) | st.text("device.atrs'()[]&|=! 0123<>?:,\"", max_size=80))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    with contextlib.suppress(CELError):
        compile_cel(text)({"device": {"driver": "a"}})


def test_numbers_follow_the_usual_precedence() -> None:
    assert value("1 + 2 * 3 - 4 / 2") == 5
    assert value("(1 + 2) * 3 > 8 && !(1 == 2)") is True
    assert value("x in [1, 2, x]", x=7) is True


def test_only_the_newest_generation_of_a_pool_counts() -> None:
    older = {**SLICE, "spec": {**SLICE["spec"], "pool": {"name": "a100-0", "generation": 1}}}  # type: ignore[dict-item]
    assert len(devices_of([older, SLICE])) == 1
    assert len(devices_of([SLICE, older])) == 1
