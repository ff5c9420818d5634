"""Magpie: recommendations from open Chinese embedding models, ONNX and FAISS."""

import os

__version__ = "0.1.0"

# onnxruntime 1.29 and later reports to its maker, and keeps a device id on disk, unless this is
# set before its first import. Nothing here phones home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A product of a hundred vectors is over before threads have woken up for it: with them a list with
# diversity took six times as long. Read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The tokenizer would wake up a thread for each core, for texts that take microseconds. A call of
# the encoder uses the threads it is given. Read at each call.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
