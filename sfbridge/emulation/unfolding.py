"""What a schema's references mean, and how much work the schema can make of a value.

Apart from the compilation because the validator library follows references without counting: a few dozen
definitions that each name another twice are more checks than anybody has time for. What is counted here is
an upper bound, and the counting itself is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

# A schema written out beyond this is checked only after its work on the value at hand was counted.
_MAX_SIZE: Final = 10_000
# References followed one after another; the library's own recursion ends somewhat deeper.
_MAX_STEPS: Final = 150

_HERE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_HERE_BY_NAME: Final = ("dependentSchemas", "dependencies")
_OF_ANY_ENTRY: Final = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_OF_ANY_ITEM: Final = ("additionalItems", "contains", "unevaluatedItems")
_BY_NAME: Final = ("properties", "patternProperties")
_BY_PLACE: Final = ("items", "prefixItems")


class Endless(Exception):
    """A schema demands of a value what the same schema says of the same value."""


class _TooMuch(Exception):
    """The count has reached its limit."""


def resolve(node: dict[str, Any], root: Any) -> Any:
    """What a `$ref` inside the same schema points at; None when it points elsewhere or nowhere."""
    reference = node.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    return _pointed(reference[1:], root)


def _pointed(pointer: str, root: Any) -> Any:
    if not pointer:
        return root
    if not pointer.startswith("/"):
        return None
    found: Any = root
    for step in unquote(pointer[1:]).split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        match found:
            case dict() if key in found:
                found = found[key]
            case list() if key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            case _:
                return None
    return found


class Unfolding:
    """One schema with its references.

    size  how many schemas it is with every reference written out where it stands, a circle once; more than
          `_MAX_SIZE` means that nobody knows
    """

    def __init__(self, schema: Any) -> None:
        """Raises Endless."""
        self._root = schema
        self._resources: list[tuple[str, dict[str, Any]]] = []
        self._anchors: dict[str, list[Any]] = {}
        self._bases: dict[int, Any] = {}
        self._known: dict[tuple[int, str], list[Any]] = {}
        self._index(schema)
        self._count = 0
        self._path: dict[int, int] = {id(schema): 0}
        try:
            self._unfold(schema, 0, _MAX_STEPS)
        except _TooMuch:
            self._count = _MAX_SIZE + 1
        self.size = self._count

    @property
    def large(self) -> bool:
        return self.size > _MAX_SIZE

    def costs_at_most(self, limit: int, value: Any) -> bool:
        """Whether a validator that remembers nothing checks a value in `limit` steps."""
        known: dict[tuple[int, int], int] = {}
        steps = 0

        def cost(schema: Any, value: Any, left: int) -> int:
            nonlocal steps
            if not isinstance(schema, dict):
                return 1
            key = (id(schema), id(value))
            if key in known:
                if known[key] < 0:
                    raise _TooMuch
                return known[key]
            steps += 1
            if steps > limit or left == 0:
                raise _TooMuch
            known[key] = -1
            total = 1
            for inner in (*_here(schema), *self._targets(schema)):
                total += cost(inner, value, left - 1)
            for inner, part in _apart(schema, value):
                total += cost(inner, part, left - 1)
            known[key] = total
            return total

        try:
            return cost(self._root, value, 2 * _MAX_STEPS) <= limit
        except _TooMuch:
            return False

    def _index(self, root: Any) -> None:
        """Note every resource and anchor, and to which resource each schema belongs."""
        todo: list[tuple[Any, Any]] = [(root, root)]
        while todo:
            node, base = todo.pop()
            if isinstance(node, list):
                todo += [(item, base) for item in node]
            elif isinstance(node, dict):
                named = node.get("$id")
                if isinstance(named, str):
                    if named.startswith("#"):
                        self._anchors.setdefault(named[1:], []).append(node)
                    else:
                        base = node
                        self._resources.append((named, node))
                for word in ("$anchor", "$dynamicAnchor"):
                    if isinstance(node.get(word), str):
                        self._anchors.setdefault(node[word], []).append(node)
                self._bases[id(node)] = base
                todo += [(item, base) for item in node.values()]

    def _targets(self, node: dict[str, Any]) -> list[Any]:
        """Everything that the references of a schema may mean."""
        found: list[Any] = []
        for word in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = node.get(word)
            if isinstance(reference, str):
                base = self._bases.get(id(node), self._root)
                key = (id(base), reference)
                if key not in self._known:
                    self._known[key] = self._meant(reference, base)
                found += self._known[key]
        return found

    def _meant(self, reference: str, base: Any) -> list[Any]:
        address, _, fragment = reference.partition("#")
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(unquote(fragment), [])
        bases = [base]
        if address:
            last = address.rpartition("/")[2]
            bases = [
                node for name, node in self._resources if name.partition("#")[0].endswith(last)
            ]
        return [found for one in bases if (found := _pointed(fragment, one)) is not None]

    def _unfold(self, node: Any, depth: int, left: int) -> None:
        """Count a schema and all that it contains. `depth`: how far the value was descended into."""
        if not isinstance(node, dict):
            return
        self._count += 1
        if self._count > _MAX_SIZE or left == 0:
            raise _TooMuch
        for inner in _here(node):
            self._unfold(inner, depth, left - 1)
        for target in self._targets(node):
            if self._path.get(id(target)) == depth:
                raise Endless
            if id(target) not in self._path:
                self._path[id(target)] = depth
                self._unfold(target, depth, left - 1)
                del self._path[id(target)]
        for inner in _below(node):
            self._unfold(inner, depth + 1, left - 1)


def extent(value: Any) -> tuple[int, int]:
    """How many values a value holds, itself included, and how many characters of text."""
    count = characters = 0
    todo = [value]
    while todo:
        one = todo.pop()
        count += 1
        match one:
            case str():
                characters += len(one)
            case dict():
                characters += sum(map(len, one))
                todo += one.values()
            case list():
                todo += one
            case _:
                pass
    return count, characters


def _here(node: dict[str, Any]) -> Iterator[Any]:
    """The schemas inside a schema that speak of the same value."""
    for word in _HERE:
        inner = node.get(word)
        if isinstance(inner, list):
            yield from inner
        elif inner is not None:
            yield inner
    for word in _HERE_BY_NAME:
        inner = node.get(word)
        if isinstance(inner, dict):
            yield from inner.values()


def _below(node: dict[str, Any]) -> Iterator[Any]:
    """The schemas inside a schema that speak of parts of the value."""
    for word in (*_OF_ANY_ENTRY, *_OF_ANY_ITEM, *_BY_NAME, *_BY_PLACE):
        inner = node.get(word)
        if isinstance(inner, list):
            yield from inner
        elif isinstance(inner, dict):
            yield from inner.values() if word in _BY_NAME else (inner,)


def _apart(node: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """The same, each with a part of the value of which it may speak."""
    if isinstance(value, dict):
        anywhere = [node[word] for word in _OF_ANY_ENTRY if word in node]
        patterned = node.get("patternProperties")
        if isinstance(patterned, dict):
            anywhere += patterned.values()
        named = node.get("properties")
        for key, part in value.items():
            yield from ((inner, part) for inner in anywhere)
            if isinstance(named, dict) and key in named:
                yield named[key], part
    elif isinstance(value, list):
        anywhere = [node[word] for word in (*_OF_ANY_ITEM, "items") if word in node]
        first = node.get("prefixItems", node.get("items"))
        for index, part in enumerate(value):
            yield from ((inner, part) for inner in anywhere)
            if isinstance(first, list) and index < len(first):
                yield first[index], part
