import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys
import loadtests.locustfile, loadtests.run
assert not [name for name in sys.modules if name.split(".")[0] == "service"]
"""


def test_load_test_imports_nothing_of_the_service() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True, timeout=30)
