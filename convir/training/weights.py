"""Trained weights in a file."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.common.files import write_atomically
from convir.frontend import nn
from convir.ir import LoadError


def save(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write the model's state dict as a NumPy archive (``.npz``) and return the path.

    The file appears complete or not at all.

    Raises:
        LoadError: the folder does not exist or is not writable.
    """
    content = io.BytesIO()
    # Not savez(**state): a parameter may be called like one of savez's own arguments.
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in model.state_dict().items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    try:
        return write_atomically(path, content.getvalue())
    except OSError as error:
        raise LoadError(f"cannot write weights: {error.strerror}", str(path)) from None


def load(model: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Read what :func:`save` wrote into ``model``, and return the model: all of the weights, or none.

    Raises:
        LoadError: the file is missing, cannot be read, or is not a NumPy archive of arrays.
        StateDictError: the weights are another model's; the message lists what differs.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise LoadError("there is no such file of weights", str(path)) from None
    except OSError as error:
        raise LoadError(f"cannot read weights: {error.strerror}", str(path)) from None
    state = _arrays(content)
    if state is None:
        raise LoadError("is not a file of weights that convir.training.save wrote, or it is damaged", str(path))
    model.load_state_dict(state)
    return model


def _arrays(content: bytes) -> dict[str, NDArray[Any]] | None:
    """The arrays of an archive by name; None if it is no archive of arrays. NumPy's reasons (pickle) would mislead."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            state = dict(archive)
    except (OSError, ValueError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
    return state if all(isinstance(array, np.ndarray) for array in state.values()) else None
