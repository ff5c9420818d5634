"""Magpie: recommendations from open Chinese embedding models, ONNX and FAISS."""

__version__ = "0.1.0"
