"""Which strategy each convolution gets, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from convir.common.table import Column, TextTable
from convir.ir import Graph, Node, TensorType, UnsupportedError
from convir.ir.ops import ConvOp
from convir.passes.lower_conv.decision import Chooser, Decision
from convir.passes.lower_conv.layer import ConvLayer, constants, operands
from convir.passes.lower_conv.strategy import Strategy

#: Names of those who choose: see :mod:`convir.selection`.
CHOOSERS = ("auto", "measure")

#: Name and version of what :meth:`Lowering.to_json` returns.
SCHEMA = "convir.lowering/1"

#: A strategy by its name, one that was made with other settings than the named one has, or who chooses one.
Choice = str | Strategy | Chooser

#: A strategy for all convolutions, or one for each node name or pattern of names; unnamed ones get the default.
StrategyChoice = Choice | Mapping[str, Choice]


@dataclass(frozen=True)
class LoweringRow:
    """How one convolution of the model, with its gradients, is computed.

    Attributes:
        node: the convolution's name.
        strategy: name of the strategy that computes it.
        asked: name of the strategy, or of who chooses one, that was asked for; empty where ``conv=`` does not say.
        reason: why it is not the one that was asked for; empty where it is.
        chosen: the strategy itself.
        layer: what problem the convolution is.
        decision: what it was chosen on; None where it was named, or is the default.
    """

    node: str
    strategy: str
    asked: str
    reason: str
    chosen: Strategy = field(compare=False, repr=False)
    layer: ConvLayer = field(compare=False, repr=False)
    decision: Decision | None = field(default=None, compare=False, repr=False)

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


def named(choice: str | Strategy, known: Sequence[Strategy]) -> Strategy:
    """The strategy of this name, or the strategy that it is; raises UnsupportedError listing those there are."""
    if isinstance(choice, Strategy):
        return choice
    if choice in CHOOSERS:
        raise UnsupportedError(
            f"conv={choice!r} is for convir.compile(), which knows the backend; a pipeline takes the chooser itself: "
            f"convir.selection.chooser({choice!r}, backend='numpy')"
        )
    for candidate in known:
        if candidate.name == choice:
            return candidate
    names = ", ".join(candidate.name for candidate in known)
    others = " and ".join(CHOOSERS)
    raise UnsupportedError(f"unknown lowering strategy {choice!r} for conv2d; there are: {names}; {others} choose one")


#: ``pays(op, image, weight)``, with the NCHW type of the image and the OIHW type of the weight: whether a strategy is
#: worth using for a convolution that it takes; asked for its gradients too, where they are computed.
Pays = Callable[[ConvOp, TensorType, TensorType], bool]

#: What a convolution gets that nobody names a strategy for: the first of these that takes it and pays, or the last.
Preferences = tuple[tuple[str | Strategy, Pays], ...]


@dataclass(frozen=True)
class _Convolution:
    """A convolution of the model, with the nodes that compute it and its gradients.

    Attributes:
        name: the model's node.
        nodes: in order.
        layer: what problem it is.
    """

    name: str
    nodes: tuple[Node, ...]
    layer: ConvLayer

    @property
    def module(self) -> str:
        """Where it stands in the model, such as ``features.0``; empty where no module computes it."""
        return self.nodes[0].scope

    def __str__(self) -> str:
        return f"{self.name} ({self.module})" if self.module not in ("", self.name) else self.name

    def refusal(self, strategy: Strategy) -> str | None:
        """Why the strategy cannot compute one of the nodes; they share image and weight, and get one answer."""
        reasons = (strategy.refuses(node.op, *operands(node)) for node in self.nodes if isinstance(node.op, ConvOp))
        return next((reason for reason in reasons if reason is not None), None)

    def suits(self, strategy: Strategy, pays: Pays) -> bool:
        """Whether the strategy takes the convolution, and pays for it and for those of its gradients that there are."""
        worth = (pays(node.op, *operands(node)) for node in self.nodes if isinstance(node.op, ConvOp))
        return self.refusal(strategy) is None and all(worth)

    def row(self, chosen: Strategy, asked: str = "", reason: str = "", decision: Decision | None = None) -> LoweringRow:
        """How it is computed."""
        return LoweringRow(self.name, chosen.name, asked, reason, chosen, self.layer, decision)

    def require(self, strategy: Strategy, what_to_do: str) -> None:
        """Raise UnsupportedError where the strategy refuses the convolution."""
        reason = self.refusal(strategy)
        if reason is not None:
            raise UnsupportedError(
                f"the strategy {strategy.name} cannot compute {self.name}: it {reason}; {what_to_do}",
                self.nodes[0].where,
            )


def choose(
    graph: Graph,
    choice: StrategyChoice,
    default: str | Strategy | Preferences,
    known: Sequence[Strategy],
    threads: int = 1,
) -> Lowering:
    """Which strategy computes each convolution of ``graph``.

    Args:
        graph: before its convolutions are lowered.
        choice: one strategy for all, where those that it refuses get the default, or who chooses one for each; or a
            mapping from names or patterns (``*``, ``?``, ``[...]``) of convolutions, as their nodes or as the modules
            that compute them are called; the first that fits holds, and none may be refused.
        default: for convolutions that ``choice`` does not name; of several, the first that takes the convolution
            and pays, or the last.
        known: the strategies that have names.
        threads: how many threads a matrix product may use where the graph runs, for who chooses.

    Raises:
        UnsupportedError: an unknown strategy; a key that fits no convolution, or none that an earlier key leaves; a
            named strategy, or the default, that refuses the convolution; no strategy that a chooser may take.
    """
    convolutions = _convolutions(graph)
    preferences = default if isinstance(default, tuple) else ((default, _always),)
    usual = [(named(each, known), pays) for each, pays in preferences]
    asked, strict = _asked(choice, convolutions, known)
    decisions = _decisions(convolutions, asked, known, threads)
    rows = []
    for each in convolutions:
        wanted = asked.get(each.name)
        if wanted is None:
            rows.append(_by_default(each, usual))
        elif isinstance(wanted, Chooser):
            decision = decisions[wanted, each.layer]
            rows.append(each.row(decision.chosen, wanted.name, decision=decision))
        else:
            rows.append(_as_named(each, wanted) if strict else _or_default(each, wanted, usual))
    return Lowering(tuple(rows))


def _convolutions(graph: Graph) -> list[_Convolution]:
    """The convolutions of the model."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if isinstance(node.op, ConvOp):
            found.setdefault(node.origin, []).append(node)
    fixed = constants(graph)
    return [_Convolution(name, tuple(nodes), ConvLayer.of(nodes, fixed)) for name, nodes in found.items()]


def _asked(
    choice: StrategyChoice, convolutions: Sequence[_Convolution], known: Sequence[Strategy]
) -> tuple[dict[str, Strategy | Chooser], bool]:
    """What is asked for each convolution that ``choice`` speaks of, and whether it names them one by one."""
    if not isinstance(choice, Mapping):
        return dict.fromkeys((each.name for each in convolutions), _resolved(choice, known)), False
    strategies = {key: _resolved(each, known) for key, each in choice.items()}
    keys = _matches(tuple(strategies), convolutions)
    return {name: strategies[key] for name, key in keys.items()}, True


def _resolved(choice: Choice, known: Sequence[Strategy]) -> Strategy | Chooser:
    return choice if isinstance(choice, Chooser) else named(choice, known)


def _decisions(
    convolutions: Sequence[_Convolution],
    asked: Mapping[str, Strategy | Chooser],
    known: Sequence[Strategy],
    threads: int,
) -> dict[tuple[Chooser, ConvLayer], Decision]:
    """What each chooser decides about the layers that it is asked about, each once."""
    found: dict[tuple[Chooser, ConvLayer], Decision] = {}
    for chooser in {each: None for each in asked.values() if isinstance(each, Chooser)}:
        layers = list(dict.fromkeys(each.layer for each in convolutions if asked.get(each.name) == chooser))
        found |= {(chooser, layer): made for layer, made in chooser.decide(layers, known, threads).items()}
    return found


def _matches(keys: Sequence[str], convolutions: Sequence[_Convolution]) -> dict[str, str]:
    """Convolution -> the first key that fits; raises UnsupportedError for a key that is the first of none."""
    fitting = {key: [each for each in convolutions if _fits(key, each.name) or _fits(key, each.module)] for key in keys}
    useless = [key for key, fits in fitting.items() if not fits]
    if useless:
        listed = ", ".join(sorted(str(key) or "''" for key in useless))
        there = ", ".join(sorted(map(str, convolutions))) or "none"
        raise UnsupportedError(f"conv= names {listed}, but the convolutions are: {there}")
    first = {each.name: key for key in reversed(keys) for each in fitting[key]}
    for key, fits in fitting.items():
        if key not in first.values():
            raise UnsupportedError(
                f"conv= names {key}, but every convolution that it fits ({', '.join(map(str, fits))}) has a key before "
                f"it, {first[fits[0].name]}, and the first that fits holds: put {key} before that one"
            )
    return first


def _fits(key: str, name: str) -> bool:
    """A name may hold characters that a pattern has a use for; nothing fits where there is no name."""
    return name != "" and (key == name or (isinstance(key, str) and fnmatchcase(name, key)))


def _always(op: ConvOp, image: TensorType, weight: TensorType) -> bool:
    return True


#: Strategies in order of preference, and where each pays.
_Usual = Sequence[tuple[Strategy, Pays]]


def _or_default(convolution: _Convolution, asked: Strategy, usual: _Usual) -> LoweringRow:
    reason = convolution.refusal(asked)
    if reason is None:
        return convolution.row(asked, asked.name)
    return replace(_by_default(convolution, usual), asked=asked.name, reason=f"{asked.name} {reason}")


def _as_named(convolution: _Convolution, asked: Strategy) -> LoweringRow:
    convolution.require(asked, "name another one for it in conv=, or none for the default")
    return convolution.row(asked, asked.name)


def _by_default(convolution: _Convolution, usual: _Usual) -> LoweringRow:
    """The first that takes the convolution and pays, or the last."""
    *others, (last, _) = usual
    default = next((each for each, pays in others if convolution.suits(each, pays)), last)
    convolution.require(default, "it is the default here: name another one for it in conv=")
    return convolution.row(default)
