"""Where a model's files come from: a hub, or an installed Python package."""

import importlib.util
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, HubUnavailable, ModelNotFound, ModelRejected
from service.pipelines.model_intake import is_allowed

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

Progress: TypeAlias = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

_PACKAGE_FOLDER = "model"
_ANSWER_TIMEOUT_S = 5.0
_LARGEST_FILE_BYTES = 20 << 30
