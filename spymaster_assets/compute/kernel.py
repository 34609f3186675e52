"""The one decorator under which every numeric kernel is compiled.

Rules for what stands under it: sequential, integers until the last moment, state in structured arrays mutated in place,
fields read as ``row["price"]`` so that the same code runs with NUMBA_DISABLE_JIT=1. No fastmath and no parallel loops: both
make results depend on the machine. Kernels count oddities; their callers judge them.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile `function` for this machine: cached on disk, without the GIL, dividing as numpy does (no ZeroDivisionError)."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """A kernel that becomes part of its callers: for what runs once per record, where passing arrays costs more than the work."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")(function))


@kernel
def signed(value: int) -> int:
    """An unsigned field as a signed integer: what mixes both becomes a float in numba."""
    return np.int64(value)  # type: ignore[return-value]
