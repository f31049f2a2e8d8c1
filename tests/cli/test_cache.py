"""``convir cache``: the figures of this machine, when they were measured, and measuring them again."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from support.choosing import forget
from support.machines import ROUND

from convir.runtime import NUMPY
from convir.selection import known_figures, store
from convir.selection.known_figures import figures_for

FASTER = replace(ROUND, product_gflops=tuple(tuple(tuple(75.0 for _ in k) for k in m) for m in ROUND.product_gflops))


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVIR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CONVIR_NUM_THREADS", "1")
    monkeypatch.setattr(known_figures, "measure_figures", lambda *_: ROUND)
    forget()
    yield
    forget()


def test_an_empty_cache_has_no_figures(convir):
    run = convir("cache")
    assert run.status == 0
    assert "GFLOP/s" not in run.out
    assert json.loads(convir("cache", "--json").out)["figures"] == []


def test_figures_are_shown_with_what_they_are_of_and_when_they_were_measured(convir):
    for threads, dtype in ((2, "float32"), (1, "float64"), (1, "float32")):
        figures_for(NUMPY, threads, dtype)
    for file in store.MEASURED.folder.iterdir():
        os.utime(file, (10**9, 10**9))
    lines = convir("cache").out.splitlines()
    rates = "50 GFLOP/s, 10 GB/s of memory, measured 2001-09-09 "
    for line, of in zip(lines[3:6], ("1 thread, float32", "1 thread, float64", "2 threads, float32"), strict=True):
        assert line.startswith(f"numpy, {of}: {rates}")
    assert "again by convir cache --measure" in " ".join(lines)
    data = json.loads(convir("cache", "--json").out)["figures"]
    assert [(each["backend"], each["threads"], each["dtype"], each["when"]) for each in data] == [
        ("numpy", 1, "float32", 1e9),
        ("numpy", 1, "float64", 1e9),
        ("numpy", 2, "float32", 1e9),
    ]
    assert data[0]["figures"] == json.loads(json.dumps(ROUND.to_json()))


def test_figures_are_measured_again(convir, monkeypatch):
    figures_for(NUMPY, 2, "float64")
    monkeypatch.setattr(known_figures, "measure_figures", lambda *_: FASTER)
    assert figures_for(NUMPY, 2, "float64") == ROUND
    assert "\nnumpy, 2 threads, float64: 75 GFLOP/s" in convir("cache", "--measure").out
    assert figures_for(NUMPY, 2, "float64") == FASTER


def test_without_any_those_of_the_usual_calls_are_measured(convir, monkeypatch):
    monkeypatch.setenv("CONVIR_NUM_THREADS", "3")
    data = json.loads(convir("cache", "--measure", "--json").out)["figures"]
    assert [(each["backend"], each["threads"], each["dtype"]) for each in data] == [
        ("numpy", 1, "float32"),
        ("numpy", 3, "float32"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"machine": {}},
        {"version": [0, "0"]},
        {"backend": ["abacus", ""]},
        {"backend": []},
        {"dtype": 3, "threads": None},
        {"what": "times"},
    ],
)
def test_figures_of_elsewhere_are_none_of_this_machine(convir, change):
    asked = known_figures.Place(NUMPY).question("figures", known_figures._VERSION, dtype="float32")
    store.save({**asked, **change}, ROUND.to_json())
    store.save({"what": "figures"}, ROUND.to_json())
    assert json.loads(convir("cache", "--json").out)["figures"] == []
    store.save(asked, ROUND.to_json())
    assert len(json.loads(convir("cache", "--json").out)["figures"]) == 1


def test_damaged_figures_are_not_shown(convir):
    figures_for(NUMPY, 1, "float32")
    (file,) = store.MEASURED.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert json.loads(convir("cache", "--json").out)["figures"] == []


def test_clearing_and_measuring_are_two_things(convir):
    run = convir("cache", "--clear", "--measure")
    assert run.status == 2
    assert "not allowed with" in run.err
