"""What the machine's processor is like, as schedules see it and as compiled code depends on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from llvmlite import binding as llvm

from convir.loops import Processor

#: Where Linux describes the first core's caches: Documentation/ABI/testing/sysfs-devices-system-cpu.
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")

#: Feature -> (bytes of a vector register, how many there are), the best first. LLVM's names of features.
_VECTORS = {"avx512f": (64, 32), "avx": (32, 16), "neon": (16, 32)}
_PLAIN = (16, 16)

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@cache
def host() -> Processor:
    """The processor of this machine."""
    return processor(host_features(), CACHES)


@cache
def host_features() -> Mapping[str, bool]:
    """LLVM's names of what this processor may or may not have; empty where LLVM cannot tell."""
    with suppress(RuntimeError):
        return dict(llvm.get_host_cpu_features())
    return {}


@cache
def identity() -> str:
    """What machine code for this processor is for: architecture, name and features."""
    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {','.join(sorted(_present(host_features())))}"


def processor(features: Mapping[str, bool], caches: Path) -> Processor:
    """The processor with these features and the caches that a folder describes; sizes that it lacks are usual ones.

    Args:
        features: LLVM's name of a feature -> whether there is it.
        caches: a folder such as :data:`CACHES`, which may not exist.
    """
    present = _present(features)
    size, registers = next((shape for name, shape in _VECTORS.items() if name in present), _PLAIN)
    usual = Processor()
    sizes = cache_sizes(caches)
    third = sizes[3] // sharers(caches).get(3, 1) if 3 in sizes else usual.l3_bytes
    return Processor(size, registers, sizes.get(1, usual.l1_bytes), sizes.get(2, usual.l2_bytes), third)


def has_fma(features: Mapping[str, bool]) -> bool:
    """Whether a product and a sum are one instruction, as the schedules assume; ARM's vectors always have it."""
    return not {"fma", "fma4", "neon", "avx512f"}.isdisjoint(_present(features))


def cache_sizes(caches: Path) -> dict[int, int]:
    """Level -> bytes of each cache that holds data."""
    found: dict[int, int] = {}
    for index in sorted(caches.glob("index[0-9]*")):
        with suppress(OSError, ValueError):
            kind, level, size = ((index / name).read_text("ascii").strip() for name in ("type", "level", "size"))
            match = re.fullmatch(r"([0-9]+)([KMG]?)", size)
            if match and kind != "Instruction" and int(match[1]):
                found[int(level)] = int(match[1]) * _UNITS[match[2]]
    return found


def sharers(caches: Path) -> dict[int, int]:
    """Level -> how many of the machine's CPUs share a cache, such as 4 for ``0-1,8-9``."""
    found: dict[int, int] = {}
    for index in sorted(caches.glob("index[0-9]*")):
        with suppress(OSError, ValueError):
            level, cpus = ((index / name).read_text("ascii").strip() for name in ("level", "shared_cpu_list"))
            ends = [[int(cpu) for cpu in part.split("-")] for part in cpus.split(",")]
            found[int(level)] = sum(end[-1] - end[0] + 1 for end in ends)
    return found


def describe() -> str:
    """The processor in a line, for the head of generated source."""
    known = host()
    fma = "fused multiply-add" if has_fma(host_features()) else "no fused multiply-add: products and sums one by one"
    return f"{llvm.get_host_cpu_name()}: {known.vector_registers} vector registers of {known.vector_bytes} bytes, {fma}"


def _present(features: Mapping[str, bool]) -> set[str]:
    return {name for name, there in features.items() if there}
