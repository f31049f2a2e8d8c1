"""Make ``convir/datasets/digits.npz`` from the copy of the UCI digits that scikit-learn carries.

Run ``pip install scikit-learn`` and ``python tools/make_digits.py [PATH]``. The same arrays give the
same bytes: the archive holds no dates.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "convir" / "datasets" / "digits.npz"
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    """The arrays as an ``.npz`` archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", FIXED_DATE)
            file.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return archive.getvalue()


def main() -> None:
    """Write the archive and say its checksum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=TARGET)
    path = parser.parse_args().path
    source = load_digits()
    images, labels = source.images.astype(np.uint8), source.target.astype(np.uint8)
    if images.shape != (1797, 8, 8) or (images != source.images).any() or images.max() != 16:
        raise SystemExit("this is not the data set of 1,797 images of 8 x 8 pixels from 0 to 16")
    content = packed({"images": images, "labels": labels})
    path.write_bytes(content)
    print(f"{path}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
