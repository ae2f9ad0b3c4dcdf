"""The part of CEL in which Kubernetes selects devices: parsed once, evaluated without ``eval``, pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import add, ge, gt, le, lt, mod, mul, sub
from typing import Any

from gpuspawner.quantity import parse_quantity

__all__ = ["CELError", "Program", "Quantity", "Version", "compile_cel"]

Scope = Mapping[str, Any]
Program = Callable[[Scope], Any]
"""Evaluates an expression; raises `CELError` where CEL would, as for a key that is not there."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-+*/%<>!?:.,()\[\]]))",
    re.ASCII,
)
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_SUMS: Mapping[str, Callable[[Any, Any], Any]] = {"+": add, "-": sub}
_PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = {"*": mul, "%": mod}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_DEEPEST = 50
_LONGEST = 500  # tokens


class CELError(ValueError):
    """An expression that cannot be read, or that has no value for what it was asked about."""


@dataclass(frozen=True, order=True, slots=True)
class Quantity:
    """A Kubernetes quantity, as ``quantity("40Gi")`` and device capacities are."""

    amount: Decimal


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A semantic version, as ``semver("1.2.3")`` and device attributes of that type are; pre-releases come first."""

    numbers: tuple[int, ...]
    released: bool = True
    suffix: str = ""

    @classmethod
    def of(cls, text: str) -> "Version":
        """Read ``8.0.0`` or ``1.2.3-rc.1``; CELError for anything else."""
        found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", text, re.ASCII)
        if found is None:
            raise CELError(f"{text!r} is no semantic version")
        return cls(tuple(int(part) for part in found.group(1, 2, 3)), found[4] is None, found[4] or "")


@lru_cache(maxsize=512)
def compile_cel(expression: str) -> Program:
    """Read an expression. Raises `CELError` that says where it ends to make sense.

    Known are literals, lists, ``? :``, the operators of CEL, ``has()``, ``exists``, ``all``, the methods of strings,
    ``quantity()``, ``semver()`` and their comparisons: https://kubernetes.io/docs/reference/using-api/cel/.
    """
    return _Parser(expression).whole()


class _Parser:
    """Recursive descent; every method returns the program of what it has read."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens: list[tuple[str, str]] = []
        self.depth = 0
        place, end = 0, len(expression.rstrip())
        while place < end:
            found = _TOKEN.match(expression, place)
            if found is None:
                raise CELError(f"{expression[place:].strip()[:40]!r} cannot be understood")
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind]))
            place = found.end()
        if len(self.tokens) > _LONGEST:
            raise CELError("the expression is too long")
        self.tokens.reverse()

    def whole(self) -> Program:
        program = self.ternary()
        if self.tokens:
            raise CELError(f"{self.tokens[-1][1]!r} is not expected in {self.expression!r}")
        return program

    def ternary(self) -> Program:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise CELError("too many parentheses")
        condition = self.disjunction()
        if self.take("?"):
            then = self.ternary()
            self.expect(":")
            other = self.ternary()
            self.depth -= 1
            return lambda scope: then(scope) if _truth(condition(scope)) else other(scope)
        self.depth -= 1
        return condition

    def disjunction(self) -> Program:
        program = self.conjunction()
        while self.take("||"):
            program = _either(program, self.conjunction(), decides=True)
        return program

    def conjunction(self) -> Program:
        program = self.relation()
        while self.take("&&"):
            program = _either(program, self.relation(), decides=False)
        return program

    def relation(self) -> Program:
        program = self.sum()
        while sign := self.take("==", "!=", *_COMPARISONS, "in"):
            program = _relation(sign, program, self.sum())
        return program

    def sum(self) -> Program:
        program = self.product()
        while sign := self.take(*_SUMS):
            program = _arithmetic(_SUMS[sign], program, self.product())
        return program

    def product(self) -> Program:
        program = self.unary()
        while sign := self.take("*", "%", "/"):
            program = _arithmetic(_PRODUCTS.get(sign, _divide), program, self.unary())
        return program

    def unary(self) -> Program:
        if self.take("!"):
            negated = self.unary()
            return lambda scope: not _truth(negated(scope))
        if self.take("-"):
            return _arithmetic(sub, lambda scope: 0, self.unary())
        return self.member()

    def member(self) -> Program:
        program = self.primary()
        while sign := self.take(".", "["):
            if sign == "[":
                program = _index(program, self.ternary())
                self.expect("]")
                continue
            name = self.name()
            program = self.method(program, name) if self.take("(") else _index(program, _constant(name))
        return program

    def method(self, of: Program, name: str) -> Program:
        if name in ("exists", "all"):
            variable = self.name()
            self.expect(",")
            holds = self.ternary()
            self.expect(")")
            return _each(any if name == "exists" else all, of, variable, holds)
        arguments = self.arguments(")")
        called = _METHODS.get(name)
        if called is None:
            raise CELError(f"the method {name}() is not known; known: {', '.join(sorted(_METHODS))}")
        return _call(name, called, [of, *arguments])

    def primary(self) -> Program:
        if not self.tokens:
            raise CELError(f"{self.expression!r} ends too early")
        kind, text = self.tokens.pop()
        if kind == "number":
            return _constant(float(text) if "." in text else int(text))
        if kind == "text":
            return _constant(re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1]))
        if text == "(":
            inner = self.ternary()
            self.expect(")")
            return inner
        if text == "[":
            items = self.arguments("]")
            return lambda scope: [item(scope) for item in items]
        if kind != "name":
            raise CELError(f"{text!r} is not expected in {self.expression!r}")
        return self.named(text)

    def named(self, name: str) -> Program:
        if name in _CONSTANTS:
            return _constant(_CONSTANTS[name])
        if not self.take("("):
            return _index(lambda scope: scope, _constant(name))
        if name == "has":
            field = self.ternary()
            self.expect(")")
            return _has(field)
        arguments = self.arguments(")")
        called = _FUNCTIONS.get(name)
        if called is None:
            raise CELError(f"the function {name}() is not known; known: has, {', '.join(sorted(_FUNCTIONS))}")
        return _call(name, called, arguments)

    def arguments(self, end: str) -> list[Program]:
        found: list[Program] = []
        while not self.take(end):
            if found:
                self.expect(",")
            found.append(self.ternary())
        return found

    def take(self, *signs: str) -> str:
        if self.tokens and self.tokens[-1][0] != "text" and self.tokens[-1][1] in signs:
            return self.tokens.pop()[1]
        return ""

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            raise CELError(f"{sign!r} is missing in {self.expression!r}")

    def name(self) -> str:
        if not self.tokens or self.tokens[-1][0] != "name":
            raise CELError(f"a name is missing in {self.expression!r}")
        return self.tokens.pop()[1]


def _constant(value: Any) -> Program:
    return lambda scope: value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CELError(f"{value!r} is neither true nor false")
    return value


def _either(left: Program, right: Program, *, decides: bool) -> Program:
    """``||`` and ``&&``: one side that decides is enough, even where the other is an error."""

    def program(scope: Scope) -> bool:
        try:
            if _truth(left(scope)) is decides:
                return decides
        except CELError:
            if _truth(right(scope)) is decides:
                return decides
            raise
        return _truth(right(scope))

    return program


def _relation(sign: str, left: Program, right: Program) -> Program:
    if sign in ("==", "!="):
        return lambda scope: _same(left(scope), right(scope)) is (sign == "==")
    if sign == "in":
        return lambda scope: _contains(right(scope), left(scope))
    compare = _COMPARISONS[sign]
    return lambda scope: bool(_guarded(compare, left(scope), right(scope)))


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def _contains(container: Any, value: Any) -> bool:
    if not isinstance(container, list | Mapping):
        raise CELError("'in' needs a list or a map")
    return any(_same(item, value) for item in container)


def _guarded(operation: Callable[..., Any], *values: Any) -> Any:
    try:
        return operation(*values)
    except CELError:
        raise
    except (TypeError, ValueError, ArithmeticError, AttributeError, IndexError, re.error) as error:
        raise CELError(f"no such overload: {error}") from None


def _arithmetic(operation: Callable[[Any, Any], Any], left: Program, right: Program) -> Program:
    return lambda scope: _guarded(operation, left(scope), right(scope))


def _divide(left: Any, right: Any) -> Any:
    return int(left / right) if isinstance(left, int) and isinstance(right, int) else left / right


def _index(of: Program, key: Program) -> Program:
    def program(scope: Scope) -> Any:
        container, wanted = of(scope), key(scope)
        if isinstance(container, Mapping):
            if wanted not in container:
                raise CELError(f"no such key: {wanted}")
            return container[wanted]
        return _guarded(lambda: container[wanted])

    return program


def _has(field: Program) -> Program:
    def program(scope: Scope) -> bool:
        try:
            field(scope)
        except CELError:
            return False
        return True

    return program


def _each(quantifier: Callable[[Any], bool], of: Program, variable: str, holds: Program) -> Program:
    def program(scope: Scope) -> bool:
        items = of(scope)
        if not isinstance(items, list | Mapping):
            raise CELError("exists() and all() need a list or a map")
        return quantifier([_truth(holds({**scope, variable: item})) for item in items])

    return program


def _call(name: str, called: Callable[..., Any], arguments: list[Program]) -> Program:
    def program(scope: Scope) -> Any:
        try:
            return _guarded(called, *(argument(scope) for argument in arguments))
        except CELError as error:
            raise CELError(f"{name}(): {error}") from None

    return program


def _compare(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


_METHODS: Mapping[str, Callable[..., Any]] = {
    "compareTo": _compare,
    "contains": lambda text, part: part in text,
    "endsWith": str.endswith,
    "isGreaterThan": gt,
    "isLessThan": lt,
    "lowerAscii": str.lower,
    "major": lambda version: version.numbers[0],
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "minor": lambda version: version.numbers[1],
    "size": len,
    "split": str.split,
    "startsWith": str.startswith,
    "upperAscii": str.upper,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "int": int,
    "quantity": lambda text: Quantity(parse_quantity(text)),
    "semver": Version.of,
    "size": len,
    "string": str,
}
