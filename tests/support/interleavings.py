"""Every way in which threads can run between each other, for source that uses :mod:`convir.runtime.native.atomics`.

The functions of a module become generators that stop before everything that another thread can see; a scheduler then
lets one thread after the other do one step, in every order there is (stateless search with the states it has seen, as
in P. Godefroid, *Model Checking for Programming Languages using VeriSoft*, 1997).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import CodeType
from typing import Any

#: What the source calls, as steps: name and arguments go to the scheduler.
ATOMICS = ("call", "copy_bytes", "exchange", "fetch_add", "pause", "peek", "poke", "replace_if")

Program = Generator[tuple[Any, ...], Any, Any]


@dataclass(frozen=True)
class Pointer:
    """Words from an address on."""

    memory: dict[int, int] = field(compare=False, repr=False)
    address: int

    def __getitem__(self, index: int) -> int:
        return self.memory[self.address + 8 * index]

    def __setitem__(self, index: int, value: int) -> None:
        self.memory[self.address + 8 * index] = value


def generators(source: str, visible: Sequence[str], memory: dict[int, int], **constants: int) -> dict[str, Any]:
    """The module's functions as generators on this memory.

    Args:
        source: of the module.
        visible: names of pointers whose words other threads change; using one is a step.
        memory: address -> number.
        constants: other values for the module's.
    """
    names: dict[str, Any] = {
        "Any": Any,
        "words": lambda address: Pointer(memory, address),
        "address_of": lambda pointer: pointer.address,
    }
    exec(_code(source, tuple(visible)), names)
    names.update(constants)  # In place: the functions look for them there.
    return names


@cache
def _code(source: str, visible: tuple[str, ...]) -> CodeType:
    tree = ast.parse(source)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list.clear()
            # A generator even if it has no step.
            node.body.append(ast.parse("if False: yield").body[0])
    return compile(ast.fix_missing_locations(_Steps(defined, visible).visit(tree)), "<steps>", "exec")


class _Steps(ast.NodeTransformer):
    def __init__(self, defined: set[str], visible: Sequence[str]) -> None:
        self._defined, self._visible = defined, visible

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = getattr(node.func, "id", "")
        if name in ATOMICS:
            return ast.Yield(ast.Tuple([ast.Constant(name), *node.args], ast.Load()))
        return ast.YieldFrom(node) if name in self._defined else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and getattr(node.value, "id", "") in self._visible:
            return ast.Yield(ast.Tuple([ast.Constant("read"), node.value, node.slice], ast.Load()))
        return node


@dataclass
class Thread:
    """One thread.

    Attributes:
        program: what it runs; it yields steps: those of ``ATOMICS``, ``read`` and ``until`` (a condition).
        rests: whether it has nothing to do at a ``pause`` until another has written.
        step: the next one.
        has_news: whether another has written since its last step.
    """

    program: Program
    rests: bool = False
    step: tuple[Any, ...] | None = None
    has_news: bool = False

    def advance(self, result: Any) -> None:
        """On to the next step."""
        try:
            self.step = self.program.send(result)
        except StopIteration:
            self.step = None

    @property
    def place(self) -> Hashable:
        """Where it is, with all that it knows."""
        frames, program = [], self.program
        while program is not None and program.gi_frame is not None:
            known = tuple((name, value) for name, value in program.gi_frame.f_locals.items() if _is_known(value))
            frames.append((program.gi_frame.f_lasti, known))
            program = program.gi_yieldfrom
        return self.has_news, tuple(frames)


def _is_known(value: object) -> bool:
    return isinstance(value, (int, Pointer))


class World:
    """Threads and the memory that they share.

    Args:
        owner: who made it.
        memory: address -> number.
        threads: in any order.
        call: what a ``call`` does, with its two arguments.
    """

    def __init__(
        self, owner: Any, memory: dict[int, int], threads: Sequence[Thread], call: Callable[[int, int], None]
    ) -> None:
        self.owner = owner
        self.memory, self.threads, self._call = memory, threads, call
        for thread in threads:
            thread.advance(None)

    @property
    def ready(self) -> list[int]:
        """Threads that can do a step."""
        return [place for place, thread in enumerate(self.threads) if self._is_ready(thread)]

    @property
    def state(self) -> Hashable:
        """Two worlds in one state have one future."""
        return tuple(sorted(self.memory.items())), tuple(thread.place for thread in self.threads)

    def _is_ready(self, thread: Thread) -> bool:
        if thread.step is None:
            return False
        if thread.step[0] == "pause" and thread.rests:
            return thread.has_news
        return thread.step[0] != "until" or bool(thread.step[1]())

    def run(self, place: int) -> None:
        """One step of one thread."""
        thread = self.threads[place]
        assert thread.step is not None
        before = dict(self.memory)
        name, *arguments = thread.step
        result = getattr(self, f"_{name}")(*arguments)
        thread.has_news = False
        thread.advance(result)
        if self.memory != before:
            for other in self.threads:
                other.has_news |= other is not thread and other.rests

    def _until(self, condition: Callable[[], bool]) -> None:
        pass

    def _pause(self) -> None:
        pass

    def _read(self, pointer: Pointer, index: int) -> int:
        return pointer[index]

    def _peek(self, address: int) -> int:
        return self.memory[address]

    def _poke(self, address: int, value: int) -> None:
        self.memory[address] = value

    def _exchange(self, address: int, value: int) -> int:
        before, self.memory[address] = self.memory[address], value
        return before

    def _fetch_add(self, address: int, value: int) -> int:
        return self._exchange(address, self.memory[address] + value)

    def _replace_if(self, address: int, expected: int, value: int) -> bool:
        found = self.memory[address] == expected
        if found:
            self.memory[address] = value
        return found


def every_end(make: Callable[[], World]) -> Iterator[World]:
    """The worlds in which no thread can do a step, however they got there; each state is gone through once."""
    seen: set[int] = set()
    waiting: list[list[int]] = [[]]
    while waiting:
        path = waiting.pop()
        world = make()
        for place in path:
            world.run(place)
        while (state := hash(world.state)) not in seen:
            seen.add(state)
            ready = world.ready
            if not ready:
                yield world
                break
            waiting += [[*path, place] for place in ready[1:]]
            world.run(ready[0])
            path.append(ready[0])
