"""common.py - what all golden-file makers share: where files go, and which versions made them."""
import importlib.metadata
import os
import platform

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "gguf", "jinja2", "rapidfuzz", "numpy")


def versions(*names):
    """One line naming Python and the packages that made a golden file."""
    return ", ".join([f"Python {platform.python_version()}"] +
                     [f"{n} {importlib.metadata.version(n)}" for n in (names or PACKAGES)])


def here(*parts):
    """A path inside tests/golden of this repository."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", *parts)
    return os.path.normpath(path)
