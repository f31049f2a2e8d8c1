"""Which strategy each convolution gets, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from convir.common.table import Column, TextTable
from convir.ir import Graph, Node, UnsupportedError
from convir.ir.ops import ConvOp
from convir.passes.lower_conv.layer import operands
from convir.passes.lower_conv.strategy import Strategy

#: Name and version of what :meth:`Lowering.to_json` returns.
SCHEMA = "convir.lowering/1"

#: A strategy by its name, or one that was made with other settings than the named one has.
Choice = str | Strategy

#: A strategy for all convolutions, or one for each node name or pattern of names; unnamed ones get the default.
StrategyChoice = Choice | Mapping[str, Choice]


@dataclass(frozen=True)
class LoweringRow:
    """How one convolution of the model, with its gradients, is computed.

    Attributes:
        node: the convolution's name.
        strategy: name of the strategy that computes it.
        asked: name of the strategy that was asked for; empty where ``conv=`` does not say.
        reason: why it is not the one that was asked for; empty where it is.
        chosen: the strategy itself.
    """

    node: str
    strategy: str
    asked: str
    reason: str
    chosen: Strategy = field(compare=False, repr=False)

    def to_json(self) -> dict[str, str]:
        """``node, strategy, asked, reason``"""
        return {name: getattr(self, name) for name in ("node", "strategy", "asked", "reason")}


@dataclass(frozen=True)
class Lowering:
    """How each convolution of a graph is computed; prints as a table.

    Attributes:
        rows: one for each convolution, in the graph's order.
    """

    rows: tuple[LoweringRow, ...]

    @property
    def refused(self) -> tuple[LoweringRow, ...]:
        """Rows of the convolutions that are not computed as was asked."""
        return tuple(row for row in self.rows if row.reason)

    @property
    def by_node(self) -> dict[str, Strategy]:
        """Node name -> strategy."""
        return {row.node: row.chosen for row in self.rows}

    def to_json(self) -> dict[str, Any]:
        """``schema``, and ``rows`` with ``node, strategy, asked, reason``."""
        return {"schema": SCHEMA, "rows": [row.to_json() for row in self.rows]}

    def table(self) -> TextTable:
        """The rows as a table that can be laid out at any width."""
        columns = (Column("convolution", fold=True), Column("strategy"), Column("asked for"), Column("why", fold=True))
        rows = [(row.node, row.strategy, row.asked or "-", row.reason) for row in self.rows]
        note = f"{len(self.refused)} of {len(self.rows)} convolutions are not computed as was asked."
        return TextTable(columns, rows, title="Lowering of convolutions", notes=(note,) if self.refused else ())

    def __str__(self) -> str:
        return self.table().text()


def named(choice: Choice, known: Sequence[Strategy]) -> Strategy:
    """The strategy of this name, or the strategy that it is; raises UnsupportedError listing those there are."""
    if isinstance(choice, Strategy):
        return choice
    for candidate in known:
        if candidate.name == choice:
            return candidate
    names = ", ".join(candidate.name for candidate in known)
    raise UnsupportedError(f"unknown lowering strategy {choice!r} for conv2d; there are: {names}")


#: What a convolution gets that nobody names a strategy for: the first of these that takes it, and pays or is the last.
Preference = tuple[Choice, ...]


def choose(graph: Graph, choice: StrategyChoice, default: Choice | Preference, known: Sequence[Strategy]) -> Lowering:
    """Which strategy computes each convolution of ``graph``.

    Args:
        graph: before its convolutions are lowered.
        choice: one strategy for all, where those that it refuses get the default; or a mapping from names or patterns
            (``*``, ``?``, ``[...]``) of convolutions, the first that fits holds, and none may be refused.
        default: for convolutions that ``choice`` does not name; of several, the first that takes the convolution
            and pays, or the last.
        known: the strategies that have names.

    Raises:
        UnsupportedError: an unknown strategy; a key that fits no convolution, or none that an earlier key leaves; a
            named strategy, or the default, that refuses the convolution.
    """
    convolutions = _by_origin(graph)
    usual = [named(each, known) for each in (default if isinstance(default, tuple) else (default,))]
    if not isinstance(choice, Mapping):
        asked = named(choice, known)
        return Lowering(tuple(_or_default(origin, nodes, asked, usual) for origin, nodes in convolutions.items()))
    strategies = {key: named(each, known) for key, each in choice.items()}
    key_of = _matches(tuple(strategies), tuple(convolutions))
    return Lowering(
        tuple(
            _as_named(origin, nodes, strategies[key_of[origin]])
            if origin in key_of
            else _by_default(origin, nodes, usual)
            for origin, nodes in convolutions.items()
        )
    )


def _by_origin(graph: Graph) -> dict[str, list[Node]]:
    """The convolutions of the model, by name, each with the nodes that compute it and its gradients."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if isinstance(node.op, ConvOp):
            found.setdefault(node.origin, []).append(node)
    return found


def _matches(keys: Sequence[str], origins: Sequence[str]) -> dict[str, str]:
    """Convolution -> the first key that fits; raises UnsupportedError for a key that is the first of none."""
    fitting = {key: [origin for origin in origins if _fits(key, origin)] for key in keys}
    useless = [key for key, fits in fitting.items() if not fits]
    if useless:
        listed, there = ", ".join(sorted(map(str, useless))), ", ".join(sorted(origins)) or "none"
        raise UnsupportedError(f"conv= names {listed}, but the convolutions are: {there}")
    first = {origin: key for key in reversed(keys) for origin in fitting[key]}
    for key, fits in fitting.items():
        if key not in first.values():
            raise UnsupportedError(
                f"conv= names {key}, but every convolution that it fits ({', '.join(fits)}) has a key before it, "
                f"{first[fits[0]]}, and the first that fits holds: put {key} before that one"
            )
    return first


def _fits(key: str, origin: str) -> bool:
    """A name may hold characters that a pattern has a use for."""
    return key == origin or (isinstance(key, str) and fnmatchcase(origin, key))


def _preferred(nodes: Sequence[Node], usual: Sequence[Strategy]) -> Strategy:
    """The first that takes the convolution and pays, or the last."""
    for candidate in usual[:-1]:
        pays = (candidate.pays(node.op, *operands(node)) for node in nodes if isinstance(node.op, ConvOp))
        if _refusal(candidate, nodes) is None and all(pays):
            return candidate
    return usual[-1]


def _or_default(origin: str, nodes: Sequence[Node], asked: Strategy, default: Sequence[Strategy]) -> LoweringRow:
    reason = _refusal(asked, nodes)
    if reason is None:
        return LoweringRow(origin, asked.name, asked.name, "", asked)
    return replace(_by_default(origin, nodes, default), asked=asked.name, reason=f"{asked.name} {reason}")


def _as_named(origin: str, nodes: Sequence[Node], asked: Strategy) -> LoweringRow:
    _require(origin, nodes, asked, "name another one for it in conv=, or none for the default")
    return LoweringRow(origin, asked.name, asked.name, "", asked)


def _by_default(origin: str, nodes: Sequence[Node], usual: Sequence[Strategy]) -> LoweringRow:
    default = _preferred(nodes, usual)
    _require(origin, nodes, default, "it is the default here: name another one for it in conv=")
    return LoweringRow(origin, default.name, "", "", default)


def _require(origin: str, nodes: Sequence[Node], strategy: Strategy, what_to_do: str) -> None:
    """Raise UnsupportedError where the strategy refuses the convolution."""
    reason = _refusal(strategy, nodes)
    if reason is not None:
        raise UnsupportedError(
            f"the strategy {strategy.name} cannot compute {origin}: it {reason}; {what_to_do}", nodes[0].where
        )


def _refusal(strategy: Strategy, nodes: Sequence[Node]) -> str | None:
    """Why the strategy cannot compute one of the nodes; they share image and weight, and get one answer."""
    reasons = (strategy.refuses(node.op, *operands(node)) for node in nodes if isinstance(node.op, ConvOp))
    return next((reason for reason in reasons if reason is not None), None)
