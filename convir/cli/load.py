"""From what a user types for MODEL to a model."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from convir import zoo
from convir.cli.failure import described
from convir.frontend import nn
from convir.ir import ConvirError, Graph, LoadError

Model = nn.Module | Graph | Callable[..., Any]

_LISTED = 12  # candidates that an error names at most


@dataclass(frozen=True)
class Loaded:
    """A model, and the shapes of its inputs where they are known.

    Attributes:
        model: a module, a graph, or a function of tensors.
        input_shapes: one for each input; empty where the user has to say.
    """

    model: Model
    input_shapes: tuple[tuple[int, ...], ...] = ()


def load_model(text: str) -> Loaded:
    """The model that ``text`` names.

    Args:
        text: a name in the zoo, ``package.module:object`` or ``path.py:object``. The object is a module, a
            graph, a function of tensors, or a class or function without required arguments that makes one of
            them. It may be an attribute of another: ``nets.py:small.Net``. The file's folder (for a module, the
            current one) is on ``sys.path`` only while the model is imported and made.

    Raises:
        LoadError: there is no such model, file, module or object; it raises when imported or made; or it is no
            model. The message says what there is instead.
    """
    place, colon, name = text.rpartition(":")
    if not colon:
        return _from_zoo(text)
    if not place or not name:
        raise LoadError(f"cannot read {text!r}: write path.py:object or package.module:object")
    is_path = place.endswith(".py") or os.sep in place or "/" in place
    folder = Path(place).resolve().parent if is_path else Path.cwd()
    with _importable_from(folder):
        module = _from_file(Path(place)) if is_path else _from_package(place)
        return Loaded(_made(_attribute(module, name, place), f"{place}:{name}"))


def _from_zoo(name: str) -> Loaded:
    if name in zoo.MODELS:
        return Loaded(zoo.load(name), (zoo.MODELS[name].input_shape,))
    known = f"the zoo has {', '.join(zoo.MODELS)}"
    if name.endswith(".py") or os.sep in name:
        raise LoadError(f"name the object in the file: {name}:Net")
    near = difflib.get_close_matches(name.lower(), zoo.MODELS, n=1, cutoff=0.7)
    guess = f" Did you mean {near[0]}?" if near else ""
    hint = "" if near else "; for a model of your own write path.py:object or package.module:object"
    raise LoadError(f"there is no model {name!r}; {known}{hint}.{guess}".removesuffix("."))


@contextmanager
def _importable_from(folder: Path) -> Iterator[None]:
    """``folder`` at the front of the search path, and afterwards the path as it was."""
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _from_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise LoadError(f"{path} is a folder; name a file: {path / 'net.py'}:Net")
    if not path.is_file():
        raise LoadError(f"there is no file {path}")
    try:
        path.read_bytes()
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror}") from None
    # Under a name of its own, so that a file called numpy.py does no harm.
    name = f"convir_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise LoadError(f"cannot import {path}: {described(error)}") from error
    return module


def _from_package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise LoadError(f"there is no Python module {error.name!r} (in this folder or installed)") from None
        raise LoadError(f"cannot import {name}: {described(error)}") from error
    except (Exception, SystemExit) as error:
        raise LoadError(f"cannot import {name}: {described(error)}") from error


def _attribute(module: ModuleType, name: str, place: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise LoadError(f"{place} has no {name!r}; {_candidates(module, name)}")
        found = getattr(found, part)
    return found


def _candidates(module: ModuleType, wanted: str) -> str:
    """What in the module could be a model, the most similar name first."""
    names = [name for name, value in vars(module).items() if not name.startswith("_") and _is_candidate(value, module)]
    if not names:
        return "it defines no model"
    near = difflib.get_close_matches(wanted, names, n=1)
    shown = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f"it has {shown}" + (f". Did you mean {near[0]}?" if near else "")


def _is_candidate(value: object, module: ModuleType) -> bool:
    if isinstance(value, (nn.Module, Graph)):
        return True
    is_model = inspect.isfunction(value) or (isinstance(value, type) and issubclass(value, nn.Module))
    # Of what a module imports, only what comes from its own package is its own.
    return is_model and f"{value.__module__}.".startswith(f"{module.__name__}.")


def _made(found: Any, text: str) -> Model:
    """The model itself, or what a class or factory without required arguments makes."""
    if isinstance(found, (nn.Module, Graph)):
        return found
    if isinstance(found, type):
        if not issubclass(found, nn.Module):
            raise LoadError(f"{text} is a class, but no nn.Module")
        return _called(found, text)
    if not callable(found):
        raise LoadError(f"{text} is {_kind(found)}; a model is an nn.Module, a graph or a function of tensors")
    # A function with required arguments takes tensors; one without makes a model.
    return found if _required(found) else _called(found, text)


def _called(factory: Callable[[], Any], text: str) -> nn.Module | Graph:
    required = _required(factory)
    if required:
        raise LoadError(
            f"{text} needs arguments ({', '.join(required)}); write a function without arguments that returns it"
        )
    try:
        made = factory()
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, ConvirError) else described(error)
        raise LoadError(f"cannot make {text}: {reason}") from error
    if not isinstance(made, (nn.Module, Graph)):
        raise LoadError(f"{text}() returned {_kind(made)}; a function without arguments must return an nn.Module")
    return made


def _required(function: Callable[..., Any]) -> Sequence[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in without a signature
        return ("...",)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in variadic]


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
