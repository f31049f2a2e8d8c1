from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from convir.cli import main

MODELS = """\
from convir import nn, trace

print("imported")


class Net(nn.Module):
    def __init__(self, channels=3):
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * 4 * 4, 10)

    def forward(self, x):
        return self.fc(self.pool(nn.functional.relu(self.conv(x))).flatten(1))


class NeedsArguments(nn.Module):
    def __init__(self, channels):
        self.conv = nn.Conv2d(channels, 4, 3)


class Raises(nn.Module):
    def forward(self, x):
        raise KeyError("no such layer")


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Other:
    pass


class Fails(nn.Module):
    def __init__(self):
        raise ValueError("two\\nlines")


net = Net()
graph = trace(Net(), (2, 3, 8, 8))
number = 3


def make():
    return Net(1)


def nothing():
    return None


def add(x, y):
    return x + y


def mixes(x):
    return x / x.sum()


def loss(x, target):
    return nn.functional.cross_entropy(x, target)


class space:
    inner = Net()
"""


class Run(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def convir(capsys, tmp_path, monkeypatch):
    """Run a command line in an empty folder that has ``nets.py``."""
    (tmp_path / "nets.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> Run:
        status = main(list(argv))
        captured = capsys.readouterr()
        return Run(status, captured.out, captured.err.replace("imported\n", ""))

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path
