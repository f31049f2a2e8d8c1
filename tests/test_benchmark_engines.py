"""The engines of the benchmarks: what they are given, the ONNX export, and that none is left out in silence."""

from __future__ import annotations

import os

import numpy as np
import pytest
from harness import engines, workloads
from harness.case import read_case
from harness.client import Worker, WorkerError
from harness.conv_layers import CONV_LAYERS
from harness.engines import convir_numba
from harness.layers import layers_of
from harness.measure import TOLERANCE, measure
from harness.models import MODELS, WHOLE
from harness.onnx_export import export
from harness.report import workload_table
from harness.threads import thread_environment

import convir
from convir import nn

SMALL = "digits810-infer-1"


FLOPS = {
    # 2 MACs: 25 * 6 * 28^2 + 150 * 16 * 10^2 + 400 * 120 + 120 * 84 + 84 * 10 for each image.
    "lenet5-infer-8": 8 * 2 * 416_520,
    # Twice that again for the backward, without the first convolution's gradient in the images.
    "lenet5-train-64": 64 * 2 * (3 * 416_520 - 117_600),
    "digits810-infer-32": 32 * 2 * (9 * 8 * 36 + 720),
    "digits810-train-32": 32 * 2 * (3 * (9 * 8 * 36 + 720) - 9 * 8 * 36),
}


@pytest.mark.parametrize("name", FLOPS)
def test_flops_of_a_call(name):
    (workload,) = workloads.chosen([name])
    assert workloads.flops(workload) == FLOPS[name]


@pytest.mark.parametrize(("model", "parameters"), [("lenet5", 61_706), ("digits810", 810), ("cifar", 1_116_970)])
def test_models_have_the_parameters_that_they_say(model, parameters):
    assert sum(parameter.data.size for parameter in MODELS[model]().parameters()) == parameters


def test_what_an_engine_is_given_survives_the_way(tmp_path):
    (workload,) = workloads.chosen(["lenet5-train-64"])
    workloads.prepare(workload, tmp_path, 2)
    case = read_case(tmp_path)
    graph = convir.trace(MODELS["lenet5"](), workload.shape)
    assert [layer.kind for layer in case.layers] == [node.op.name for node in graph.nodes]
    assert list(case.weights) == [name for name, _ in MODELS["lenet5"]().named_parameters()]
    assert case.images.shape == workload.shape
    assert case.images.dtype == np.float32
    assert (case.training, case.threads, case.onnx) == (True, 2, None)


def test_a_model_that_is_no_chain_is_refused():
    with pytest.raises(ValueError, match="no chain"):
        layers_of(convir.trace(lambda x: nn.functional.relu(x) + x, (1, 3)))


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'lenet6'.*lenet5-infer-1"):
        workloads.chosen(["lenet5-*", "lenet6"])
    with pytest.raises(ValueError, match=r"'tensorflow'.*onnxruntime"):
        engines.chosen(["tensorflow"])
    assert [engine.name for engine in engines.chosen(["jax"])] == ["convir", "jax"]


# The ONNX export


def agrees_with_onnx_runtime(net, shape):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    session = onnxruntime.InferenceSession(export(convir.trace(net, shape)), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, convir.compile(net, shape, wrt=())(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", WHOLE)
def test_onnx_runtime_computes_what_convir_does(model):
    agrees_with_onnx_runtime(WHOLE[model](), (3, *next(w.image for w in workloads.WORKLOADS if w.model == model)))


def test_every_attribute_is_exported():
    convolution = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False)
    pooling = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
    agrees_with_onnx_runtime(nn.Sequential(convolution, pooling), (2, 4, 11, 9))


def test_what_is_not_translated_is_refused():
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="no ONNX operator for sigmoid"):
        export(convir.trace(nn.functional.sigmoid, (2, 3)))
    with pytest.raises(ValueError, match=r"flatten\(0, -1\) is not translated"):
        export(convir.trace(lambda x: x.flatten(), (2, 3)))
    fused = convir.compile(MODELS["digits810"](), (1, 1, 8, 8), wrt=()).stages
    with pytest.raises(ValueError, match="conv2d has relu fused into it"):
        export(next(stage.graph for stage in fused if stage.name == "fuse_relu"))


# Engines in processes of their own


def start(name, folder):
    workloads.prepare(workloads.chosen([SMALL])[0], folder, 1)
    return Worker(name, folder, 1)


def test_an_engine_runs_bursts_in_its_own_process(tmp_path):
    with start("convir", tmp_path) as worker:
        assert worker.ready, worker.report
        answer = worker.run(4)
        assert len(answer["seconds"]) == 4
        assert 0 < answer["busy_cores"] < 1.5
        peak = worker.finish()
    assert peak is None or peak > worker.report["loaded_bytes"]


def instead_of_jax(source, folder, monkeypatch):
    """A module called jax before the real one, in the processes of the engines."""
    (folder / "jax.py").write_text(source, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))


def test_a_missing_engine_is_reported(tmp_path, monkeypatch):
    instead_of_jax("raise ModuleNotFoundError(name='jax')", tmp_path, monkeypatch)
    monkeypatch.setattr("harness.measure.BURST_SECONDS", 1e-4)
    said = []
    result = measure(workloads.chosen([SMALL])[0], engines.chosen(["jax"]), 1, 2, said.append)
    convir_result, jax_result = result.engines
    assert convir_result.status == "measured"
    assert len(convir_result.seconds) == 2
    assert (jax_result.status, jax_result.reason) == ("unavailable", "jax is not installed")
    assert "JAX jit: unavailable: jax is not installed" in str(workload_table(result, 1e9))
    assert any("JAX jit" in line for line in said)


def test_a_failure_is_reported_with_its_reason(tmp_path):
    with start("convir", tmp_path) as worker:
        assert worker.ready
    (tmp_path / "case.json").write_text("{", encoding="utf-8")
    with Worker("convir", tmp_path, 1) as worker:
        assert worker.report["status"] == "failed"
        assert worker.report["reason"].startswith("JSONDecodeError: ")


def test_a_process_that_dies_is_reported_with_its_last_words(tmp_path, monkeypatch):
    instead_of_jax("import os; os.write(2, b'one\\nno such instruction\\n'); os._exit(3)", tmp_path, monkeypatch)
    with start("jax", tmp_path) as worker:
        assert worker.report == {"status": "failed", "reason": "its process ended with 3: no such instruction"}


def test_what_a_library_prints_is_not_an_answer(tmp_path, monkeypatch):
    instead_of_jax("print('hello'); raise ModuleNotFoundError(name='jax')", tmp_path, monkeypatch)
    with start("jax", tmp_path) as worker:
        assert worker.report == {"status": "unavailable", "reason": "jax is not installed"}


def test_an_engine_that_disagrees_is_not_timed(monkeypatch):
    monkeypatch.setattr("harness.measure.largest_difference", lambda found, expected: 0.5)
    (found,) = measure(workloads.chosen([SMALL])[0], engines.chosen([]), 1, 1, lambda line: None).engines
    assert (found.status, found.difference, found.seconds) == ("disagrees", 0.5, ())
    assert found.reason == "results differ from convir NumPy's by 5.0e-01, more than 1e-03"


def test_a_process_that_dies_at_work_is_noticed(tmp_path):
    with start("convir", tmp_path) as worker:
        worker._process.kill()
        with pytest.raises(WorkerError, match="its process ended with -9"):
            worker.run(1)


def test_numba_is_left_out_with_a_reason_where_convir_has_no_such_backend(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(convir, "compile", lambda model, *specs, inference=False: None)
    with pytest.raises(engines.UnavailableError, match="this convir has no backend='numba'"):
        convir_numba.load(1)


def test_all_thread_counts_are_set():
    assert set(thread_environment(3).values()) == {"3"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "PJRT_NPROC"} <= set(thread_environment(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convir-numba", "torch", "onnxruntime", "jax"])
@pytest.mark.parametrize("workload", ["lenet5-infer-8", "lenet5-train-64", "cifar-infer-64"])
def test_every_engine_computes_the_same(name, workload):
    result = measure(workloads.chosen([workload])[0], engines.chosen([name]), 1, 1, lambda line: None)
    found = result.engines[1]
    assert found.status in ("measured", "unavailable"), found.reason
    assert found.status == "unavailable" or found.difference < TOLERANCE


@pytest.mark.parametrize("layer", CONV_LAYERS, ids=lambda layer: layer.name)
def test_layers_of_networks_have_the_operations_that_are_said(layer):
    (workload,) = workloads.chosen([f"{layer.name}-infer-8"])
    assert (workload.batch, workload.shape) == (8, (8, *layer.image))
    assert workloads.flops(workload) == 8 * layer.flops


def test_the_convolutions_of_vgg16_have_its_published_operations():
    """torchvision counts 15.47 billion MACs for all of it; the three linear layers are 123.6 million of them."""
    macs = sum(layer.flops * layer.times for layer in CONV_LAYERS if layer.net == "vgg16") // 2
    linear = 25088 * 4096 + 4096 * 4096 + 4096 * 1000
    assert round((macs + linear) / 1e9, 2) == 15.47


def test_layers_run_only_when_asked_for():
    assert [workload.name for workload in workloads.chosen(["*"])] == [w.name for w in workloads.WORKLOADS]
    assert {workload.family for workload in workloads.chosen(["resnet18:*"])} == {"ResNet-18"}
