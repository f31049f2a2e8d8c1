"""Running passes: verified, kept, timed, dumped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from support.graphs import graph_of

import convir
from convir import TensorType, VerifyError, zoo
from convir.ir import Graph, verify
from convir.ir.ops import Relu
from convir.passes.eliminate import EliminateDeadCode
from convir.passes.manager import numbered, run_passes


@dataclass(frozen=True)
class Break:
    """``y : f32[3]  =>  y : f32[4]``, which no op infers."""

    name: str = "break_types"

    def __call__(self, graph: Graph) -> Graph:
        *before, last = graph.nodes
        wrong = replace(last, outputs=(replace(last.outputs[0], type=TensorType((4,))),))
        return graph.replace(nodes=(*before, wrong), outputs=wrong.outputs)


@dataclass(frozen=True)
class Forget:
    """A pass whose author forgot the return."""

    name: str = "forget"

    def __call__(self, graph: Graph) -> Graph:
        return None  # type: ignore[return-value]


def relu() -> Graph:
    return graph_of(Relu(), (3,))


def test_every_stage_is_kept_with_name_graph_and_time():
    stages = run_passes(relu(), [EliminateDeadCode(), EliminateDeadCode("again")])
    assert [stage.name for stage in stages] == ["trace", "eliminate_dead_code", "again"]
    assert all(str(stage.graph) == str(relu()) for stage in stages)
    assert all(0 <= stage.seconds < 1 for stage in stages)


def test_a_pass_that_breaks_the_graph_is_named():
    with pytest.raises(VerifyError) as caught:
        run_passes(relu(), [EliminateDeadCode(), Break(), EliminateDeadCode()])
    assert str(caught.value) == (
        "graph one after break_types: relu: results should be f32[3], found f32[4]\n> y = relu(input) : f32[4]"
    )


def test_a_pass_that_returns_nothing_is_named():
    with pytest.raises(VerifyError, match="pass forget: returned NoneType, a pass returns a Graph"):
        run_passes(relu(), [Forget()])


def test_the_first_graph_is_verified_too():
    with pytest.raises(VerifyError, match="after trace"):
        run_passes(Break()(relu()), [])


def test_a_stage_prints_its_name_time_and_graph():
    text = str(run_passes(relu(), [])[0])
    assert text.startswith("# trace (")
    assert text.endswith(f"ms, 1 nodes)\n{relu()}")


def test_stages_are_numbered():
    stages = run_passes(relu(), [EliminateDeadCode()])
    assert [stem for stem, _ in numbered(stages)] == ["00_trace", "01_eliminate_dead_code"]


@pytest.mark.parametrize("options", [{}, {"inference": True}, {"conv": "naive", "pool": "naive"}], ids=str)
@pytest.mark.parametrize("model", ["lenet5", "digits_cnn", "mlp"])
def test_every_stage_of_the_zoo_passes_the_verifier(model, options):
    entry = zoo.MODELS[model]
    for stage in convir.compile(entry.factory(), (2, *entry.input_shape[1:]), **options).stages:
        verify(stage.graph, after=stage.name)


def test_a_pass_of_ones_own_takes_part():
    seen = []

    @dataclass(frozen=True)
    class Count:
        """``f  =>  f``"""

        name: str = "count"

        def __call__(self, graph: Graph) -> Graph:
            seen.append(len(graph.nodes))
            return graph

    passes = convir.pipeline()
    passes.insert(3, Count())
    compiled = convir.compile(zoo.mlp(), (1, 1, 8, 8), passes=passes)
    assert compiled.stages[4].name == "count"
    assert seen == [len(compiled.stages[3].graph.nodes)]
