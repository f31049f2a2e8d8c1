"""The default generator and its seed."""

import numpy as np
import pytest

import convir
from convir.common.random import default_generator


def test_a_seed_makes_the_default_generator_repeatable():
    draws = []
    for seed in (7, np.int64(7)):
        convir.manual_seed(seed)
        draws.append(default_generator().random())
    assert draws[0] == draws[1]


@pytest.mark.parametrize("seed", ["a", -1, 1.5, None])
def test_what_is_not_a_seed(seed):
    with pytest.raises(convir.ConvirError, match=f"^manual_seed: a seed is an integer of at least 0, got {seed!r}$"):
        convir.manual_seed(seed)
