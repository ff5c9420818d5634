"""Compiles the C of this folder when Magpie is installed, and opens what was compiled.

It needs nothing but a C compiler. Where there was none, or where the sources changed since, there
is no library: FAISS then searches alone, at about a third of the speed.
"""

import ctypes
import hashlib
import logging
import os
import shlex
import subprocess
import sysconfig
from functools import lru_cache
from pathlib import Path

_log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "libmagpie.so"
SOURCES = ("walk.c", "scan.c", "vary.c", "liking.c", "lines.c")
_HEADERS = ("sums.h", "codes.h")
# What a processor can do is chosen when the library is opened, so that it can be copied anywhere.
_OPTIONS = (
    "-std=gnu11",
    "-O3",
    "-fno-math-errno",
    "-fopenmp-simd",
    "-fvisibility=hidden",
    "-fPIC",
    "-shared",
)
_COMPILE_S = 120


def compile_library(target: Path = LIBRARY) -> str | None:
    """Compile with $CC, or what Python was compiled with, or cc; returns why not, None if it did.

    The file appears in one step: who has the old one open keeps it.
    """
    sources = [str(FOLDER / name) for name in SOURCES]
    partial = target.with_suffix(f".{os.getpid()}.partial")
    tail = [f'-DMAGPIE_DIGEST="{source_digest()}"', *sources, "-o", str(partial), "-lm"]
    problem = "there is no C compiler"
    for compiler in dict.fromkeys((os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc")):
        if not compiler:
            continue
        try:
            # The compiler is named by who installs, and nothing else of the command is theirs.
            subprocess.run(
                [*shlex.split(compiler), *_OPTIONS, *tail],
                check=True,
                capture_output=True,
                text=True,
                timeout=_COMPILE_S,
            )
        except OSError:
            continue
        except subprocess.SubprocessError as error:
            problem = str(getattr(error, "stderr", None) or error).strip()
            continue
        partial.replace(target)
        return None
    return problem


@lru_cache(maxsize=1)
def open_library() -> ctypes.CDLL | None:
    """Open the library; None, said once in the log, where there is none of these sources."""
    if not LIBRARY.exists():
        _log.info("searches go through FAISS alone: there is no compiled library")
        return None
    library = ctypes.CDLL(str(LIBRARY))
    library.magpie_digest.restype = ctypes.c_char_p
    if library.magpie_digest() != source_digest().encode():
        _log.warning("%s is of other sources: install Magpie again", LIBRARY.name)
        return None
    return library


def source_digest() -> str:
    """sha256 over the sources: a library of others is never called."""
    digest = hashlib.sha256()
    for name in (*_HEADERS, *SOURCES):
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()


def is_compiled() -> bool:
    """Whether there is a library: without one its functions may not be called."""
    return open_library() is not None
