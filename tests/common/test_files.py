"""Files appear complete or not at all, and errors name what the user named."""

from __future__ import annotations

import os
import tempfile

import pytest

from convir.common.files import require_writable, write_atomically


def refuse(**options):
    name = f"{options['dir']}/{options['prefix']}abc123"
    raise PermissionError(13, "Permission denied", name)


@pytest.mark.parametrize("write", [lambda path: write_atomically(path, "text"), require_writable])
def test_errors_name_the_file_and_not_the_temporary_one(tmp_path, monkeypatch, write):
    with pytest.raises(FileNotFoundError) as missing:
        write(tmp_path / "none" / "a.svg")
    assert missing.value.filename == str(tmp_path / "none" / "a.svg")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as folder:
        write(tmp_path / "folder")
    assert folder.value.filename == str(tmp_path / "folder")
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as refused:
        write(tmp_path / "a.svg")
    assert (refused.value.filename, refused.value.filename2) == (str(tmp_path / "a.svg"), None)
    assert os.listdir(tmp_path) == ["folder"]


def test_asking_leaves_everything_as_it_is(tmp_path):
    (tmp_path / "old").write_text("content")
    require_writable(tmp_path / "old")
    require_writable(tmp_path / "new")
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "content"
