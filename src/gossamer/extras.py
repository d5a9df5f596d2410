"""Optional packages: which extra brings the one that is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from gossamer.errors import OptionError

_EXTRA_OF = {
    "clarabel": "edge",
    "cvxpy": "edge",
    "matplotlib": "edge",
    "onnxruntime": "ort",
    "onnxscript": "torch",
    "torch": "torch",
    "transformers": "transformers",
    "yaml": "edge",
}
"""The extra of `pyproject.toml` that installs a package, by the name under which it is imported."""


@contextmanager
def needed_for(what: str, extra: str | None = None) -> Iterator[None]:
    """Turn the absence of an optional package into one line that says how to get it.

    Args:
        what: what cannot be done without it, as the beginning of a sentence.
        extra: that brings all that this takes; by default the one that brings the package.

    Raises:
        OptionError: if the block imports an optional package that is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF or importlib.util.find_spec(package) is not None:
            # A package that is broken is not mended by installing an extra.
            raise
        raise OptionError(
            f"{what} needs {package}; install gossamer[{extra or _EXTRA_OF[package]}]"
        ) from error
