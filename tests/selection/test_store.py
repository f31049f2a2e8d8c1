"""Measurements on disk: nothing is trusted that is not whole, and writers do not disturb each other."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convir.selection import store

QUESTION, ANSWER = {"what": "test", "sizes": (1, 2)}, {"im2col": {"seconds": 0.25}}


def test_an_answer_comes_back_to_its_question(folder):
    assert store.load(QUESTION) is None
    store.save(QUESTION, ANSWER)
    assert store.load(QUESTION) == ANSWER
    assert store.load({**QUESTION, "sizes": (1, 3)}) is None
    assert len(list(folder.iterdir())) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_as_good_as_none(folder, data):
    store.save(QUESTION, ANSWER)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    # White space may change without harm.
    assert store.load(QUESTION) in (None, ANSWER)
    file.write_bytes(content[:place])
    assert store.load(QUESTION) is None
    store.save(QUESTION, ANSWER)
    assert store.load(QUESTION) == ANSWER


def test_a_file_of_another_question_is_not_taken_for_it(folder):
    store.save(QUESTION, ANSWER)
    (file,) = folder.iterdir()
    kept = json.loads(file.read_bytes())
    kept["question"]["what"] = "another"
    file.write_text(json.dumps(kept), encoding="utf-8")
    assert store.load(QUESTION) is None


@pytest.mark.slow
def test_two_processes_at_once_leave_a_whole_file(folder):
    code = (
        "from convir.selection import store\n"
        "import sys\n"
        "answer = {'who': sys.argv[1], 'rest': list(range(20000))}\n"
        "for _ in range(50):\n"
        "    store.save({'what': 'both'}, answer)\n"
        "    assert store.load({'what': 'both'})['who'] in 'ab'\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen([sys.executable, "-c", code, who], env=environment) for who in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list(folder.iterdir())) == 1
