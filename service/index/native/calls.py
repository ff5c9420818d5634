"""How functions of the compiled library are called: their types, and addresses of arrays.

Apart from `library`, which runs where nothing is installed yet.
"""

import ctypes
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Function: TypeAlias = Callable[..., int]
"""A function of the compiled library."""


def function(library: ctypes.CDLL, name: str, kinds: str, result: str = "i") -> Function:
    """A function of the library with its types.

    Args:
        library: what was opened.
        name: of the function.
        kinds: of its arguments: p a pointer, s bytes, i 32 bits, q 64 bits,
            Q 64 bits without a sign, f a float, d a double.
        result: the same for what it returns.
    """
    found = library[name]
    types: dict[str, type[ctypes._SimpleCData[Any]]] = {
        "p": ctypes.c_void_p,
        "s": ctypes.c_char_p,
        "i": ctypes.c_int32,
        "q": ctypes.c_int64,
        "Q": ctypes.c_uint64,
        "f": ctypes.c_float,
        "d": ctypes.c_double,
    }
    found.argtypes = [types[kind] for kind in kinds]
    found.restype = types[result]
    return found


def address(array: NDArray[np.generic]) -> int:
    """Where the numbers of an array lie, 0 if it has none; it has to outlive the use."""
    if not array.size:
        return 0
    if array.flags.writeable:
        # Three times as fast as to ask the array.
        return _address(_first_byte(array))
    at: int = array.__array_interface__["data"][0]
    return at


_address = ctypes.addressof
# That an array is a buffer is known to types from Python 3.12 on only.
_first_byte: Any = ctypes.c_char.from_buffer
