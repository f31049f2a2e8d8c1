"""Where compiled functions are kept."""

from convir.common.cache import Cache

#: One file for each function, behind a checksum: see :class:`convir.runtime.native.objects.ObjectCode`.
COMPILED = Cache("compiled functions", "native", ".native", "compiles them again")
