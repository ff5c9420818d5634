"""Compiles the C part when Magpie is installed or packed; goes on without where that fails."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface):
    """Puts the compiled library beside its sources and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel with the library in it fits one platform only."""
        module = runpy.run_path(str(Path(self.root) / "service/index/native/library.py"))
        problem = module["compile_library"]()
        if problem is not None:
            self.app.display_warning(f"Without the fast search, FAISS alone does it: {problem}")
            return
        build_data["artifacts"].append("service/index/native/libmagpie.so")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
