"""What the ``convir`` command takes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from convir.cli import commands, training
from convir.cli.cache import cache
from convir.cli.compare import SWEEPS, compare
from convir.cli.inputs import FLOATS, parse_input
from convir.cli.sizes import (
    byte_count,
    natural_number,
    parse_padding,
    parse_pair,
    parse_values,
    positive_integer,
    positive_number,
)
from convir.compiler import POOLS
from convir.passes.lower_conv import STRATEGIES
from convir.runtime import BACKENDS

_NEGATIVE = re.compile(r"-\.?\d|-(inf|nan)", re.IGNORECASE)

_MODEL_HELP = """\
MODEL is a name in the zoo (lenet5, digits_cnn, mlp), path.py:object or package.module:object. The object is an
nn.Module, a class or function without required arguments that makes one, a traced graph, or a function of tensors."""

_EXAMPLES = {
    "": ["trace lenet5", "summary net.py:Net --input 8,3,32,32", "compile lenet5 --dump stages", "train digits_cnn"],
    "trace": ["trace lenet5", "trace net.py:Net --input 8,3,32,32 --dtype float64", "trace lenet5 --dot > lenet5.dot"],
    "summary": ["summary lenet5 --input 64,1,28,28", "summary lenet5 --cost", "summary net.py:Net --json"],
    "render": ["render lenet5 --out net.svg --flops", "render lenet5 --stage lower_conv --direction LR"],
    "compile": ["compile lenet5 --stages", "compile lenet5 --conv auto --explain", "compile lenet5 --dump stages"],
    "compare": [
        "compare lenet5 --input 8,1,28,28 --plot compare.svg",
        "compare lenet5 --backward --html compare.html",
        "compare --layer 64,128,3,56 --batch 8",
        "compare --layer 16,16,3,32 --sweep kernel --values 3,5,7 --html sweep.html",
    ],
    "profile": ["profile lenet5 --input 64,1,28,28 --backend numba", "profile lenet5 --backward --conv conv1=naive"],
    "train": ["train", "train lenet5 --epochs 5 --optimizer sgd --lr 0.05 --save lenet5.npz"],
    "cache": ["cache", "cache --measure", "cache --clear"],
}

_WITHOUT_MODEL = ("cache",)


class Parser(argparse.ArgumentParser):
    """Usage errors in one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def with_joined_values(argv: Sequence[str]) -> list[str]:
    """``--input -1,3`` as ``--input=-1,3``: otherwise a negative number reads as an option that nobody knows."""
    joined: list[str] = []
    for text in argv:
        if joined and re.fullmatch(r"--[a-z-]+", joined[-1]) and _NEGATIVE.match(text):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


def make_parser() -> Parser:
    """The parser of the whole command line."""
    from convir import __version__

    parser = _described(
        Parser(prog="convir"), "", "A small compiler for convolutional networks: trace, see, lower, run."
    )
    parser.add_argument("--version", action="version", version=f"convir {__version__}")
    add = parser.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser
    for name, (run, what, options) in _COMMANDS.items():
        command = _described(add(name, help=what), name, f"{what[0].upper()}{what[1:]}.")
        command.set_defaults(run=run)
        for option in options:
            option(command)
        command.add_argument("--traceback", action="store_true", help="on an error, show where in the code it arose")
    return parser


def _described(parser: Parser, name: str, what: str) -> Parser:
    lines = [f"  convir {example}" for example in _EXAMPLES[name]]
    parser.description = what if name in _WITHOUT_MODEL else f"{what}\n\n{_MODEL_HELP}"
    parser.epilog = "\n".join(["examples:", *lines])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _model(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="what to work on, see above")
    _inputs(parser)


def _optional_model(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", default="digits_cnn", help="default: digits_cnn")
    _inputs(parser)


def _inputs(parser: Parser) -> None:
    parser.add_argument(
        "--input",
        metavar="N,C,H,W[:DTYPE]",
        type=parse_input,
        action="append",
        help="shape of an input, batch first; repeated for each input; models of the zoo have a default",
    )
    parser.add_argument("--dtype", choices=FLOATS, help="element type of parameters and inputs; default: float32")


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _running(parser: Parser) -> None:
    _backend(parser)
    parser.add_argument(
        "--tile",
        type=positive_integer,
        metavar="N",
        help="samples of the batch that run together at most; default: chosen by the size of the caches",
    )


def _backend(parser: Parser) -> None:
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="what runs the steps: numpy; numba, loops compiled to machine code, which takes seconds the first time "
        f"(pip install 'convir[numba]'); auto, numba where it is installed; default: {BACKENDS[0]}",
    )
    parser.add_argument(
        "--threads",
        type=positive_integer,
        metavar="N",
        help="threads that a run may use; default: CONVIR_NUM_THREADS, or all CPUs",
    )


def _lowering(parser: Parser) -> None:
    names = ", ".join(f"{each.name} ({each.summary})" for each in STRATEGIES)
    parser.add_argument(
        "--conv",
        metavar="NAME",
        action="append",
        help=f"how convolutions are lowered: {names}; or NODE=NAME for one of them, repeated for several "
        "(NODE is a node or a module, or a pattern such as 'features*'); auto, the one that a model of this machine "
        "expects to be the fastest; measure, the one that is (tried once for each shape, and kept); "
        "default: winograd_4x4 where it pays, else toeplitz; with the numba backend winograd_4x4, winograd_2x2 or "
        "im2col_tiled where they pay, else direct",
    )
    parser.add_argument(
        "--memory-limit",
        type=byte_count,
        metavar="SIZE",
        help="scratch that a convolution may need at once, for auto and measure: bytes, or with a unit such as 64KiB, "
        "4MiB or 1.5GiB",
    )
    parser.add_argument(
        "--max-error",
        type=positive_number,
        metavar="X",
        help="relative error against float64 that a convolution may have, for auto and measure",
    )
    parser.add_argument("--pool", choices=POOLS, default=POOLS[0], help=f"how pooling runs; default: {POOLS[0]}")
    parser.add_argument("--inference", action="store_true", help="fold the parameters; no backward")


def _trace(parser: Parser) -> None:
    parser.add_argument("--dot", action="store_true", help="print Graphviz DOT instead of the text form")


def _summary(parser: Parser) -> None:
    parser.add_argument("--depth", type=positive_integer, metavar="N", help="levels of modules to show")
    parser.add_argument("--cost", action="store_true", help="operations, bytes and peak memory of each node instead")


def _render(parser: Parser) -> None:
    parser.add_argument("--out", metavar="FILE", help=".svg, .png or .pdf; default: the graph's name and .svg")
    parser.add_argument("--stage", metavar="NAME", help="draw what this pass (name or number) made, not the trace")
    parser.add_argument("--flops", action="store_true", help="FLOPs in the boxes")
    parser.add_argument("--depth", type=natural_number, metavar="N", help="draw modules deeper than this as one box")
    parser.add_argument("--direction", choices=("TB", "LR"), default="TB", help="top to bottom, or left to right")
    parser.add_argument("--no-params", action="store_true", help="leave out the parameters")


def _compile(parser: Parser) -> None:
    parser.add_argument("--stages", action="store_true", help="print the graph after each pass")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print which strategy computes each convolution, what the others would take, and why some cannot",
    )
    parser.add_argument("--dump", metavar="DIR", help="write each stage as text and SVG, and an index.html")


def _comparable(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="what to work on, see above")
    _inputs(parser)
    parser.add_argument(
        "--layer",
        metavar="C,O,K,H",
        help="one convolution: channels, filters, kernel and image (3, or 3x5 for rows and columns); or the NAME of "
        "one of MODEL",
    )
    add: Callable[..., Any] = parser.add_argument
    add("--batch", type=positive_integer, metavar="N", help="images of the --layer; default: 1")
    add("--stride", type=parse_pair, metavar="S", help="of the --layer; default: 1")
    add(
        "--padding",
        type=parse_padding,
        metavar="P",
        help="of the --layer; default: same, which keeps the size at stride 1",
    )
    add("--dilation", type=parse_pair, metavar="D", help="of the --layer; default: 1")
    add("--groups", type=positive_integer, metavar="G", help="of the --layer; default: 1")
    add("--sweep", choices=SWEEPS, help="compare the --layer at several sizes of the image, batches, ...")
    add("--values", type=parse_values, metavar="V,W,...", help="those of --sweep; default: around what the layer has")


def _compare(parser: Parser) -> None:
    known = ", ".join(each.name for each in STRATEGIES)
    parser.add_argument(
        "--lowerings",
        metavar="A,B,...",
        help=f"what to compare, of {known}; and auto and measure, which choose one for each convolution; default: "
        "those that take every convolution of the model, or the layer, and auto",
    )
    parser.add_argument("--backward", action="store_true", help="compare forward and backward runs")
    parser.add_argument(
        "--inference", action="store_true", help="fold the parameters, so that transforms of weights take no time"
    )
    parser.add_argument(
        "--repeats", type=positive_integer, metavar="N", help="runs of each; default: 20, of a sweep 10"
    )
    parser.add_argument(
        "--time-budget", type=positive_number, metavar="S", help="seconds for each lowering; default: 5, of a sweep 1"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the comparison, too: .svg, .png or .pdf")
    parser.add_argument(
        "--html", metavar="FILE", help="write one page, too, with tables, plots and graphs, that needs no network"
    )


def _profile(parser: Parser) -> None:
    parser.add_argument("--backward", action="store_true", help="time the backward, too")
    parser.add_argument("--repeats", type=positive_integer, metavar="N", default=20, help="timed runs; default: 20")


def _train(parser: Parser) -> None:
    whole = {"type": positive_integer, "metavar": "N"}
    add: Callable[..., Any] = parser.add_argument
    add("--epochs", **whole, default=training.EPOCHS, help=f"default: {training.EPOCHS}")
    add("--optimizer", choices=tuple(training.OPTIMIZERS), default="adam", help="default: adam")
    add("--lr", type=positive_number, metavar="X", help="learning rate; default: 0.002, for sgd 0.05")
    add("--batch-size", **whole, default=32, help="default: 32")
    add("--seed", type=natural_number, metavar="N", default=0, help="of weights, order and split; default: 0")
    add("--save", metavar="FILE", help="write the trained weights (.npz); interrupted, those so far")


def _cache(parser: Parser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--clear", action="store_true", help="remove it; what is needed is compiled and measured again")
    either.add_argument(
        "--measure",
        action="store_true",
        help="measure the figures of this machine again, which predictions are made from: a second or a few each; "
        "to be done when nothing else runs",
    )


_Option = Callable[[Parser], None]

_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], Any], str, Sequence[_Option]]] = {
    "trace": (commands.trace, "print the graph of a model", (_model, _trace)),
    "summary": (commands.summary, "layers, shapes, parameters and operations", (_model, _summary, _json)),
    "render": (commands.render, "draw the graph to a file", (_model, _render, _lowering)),
    "compile": (
        commands.compile,
        "show what each pass makes, costs and memory",
        (_model, _lowering, _running, _compile, _json),
    ),
    "compare": (compare, "compare ways of lowering convolution", (_comparable, _compare, _backend, _json)),
    "profile": (commands.profile, "time every step of a run", (_model, _lowering, _running, _profile, _json)),
    "train": (
        training.train,
        "train on the handwritten digits that come along",
        (_optional_model, _running, _train, _json),
    ),
    "cache": (cache, "machine code and measurements that are kept on disk", (_cache, _json)),
}
