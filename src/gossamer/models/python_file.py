"""`FILE.py:FUNCTION`: a function in a Python file of the user's."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gossamer.errors import OptionError
from gossamer.files import is_file
from gossamer.user_code import describe

_SPECIFICATION = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")


def is_function(specification: str) -> bool:
    """Return whether the text has the form `FILE.py:FUNCTION`."""
    return _SPECIFICATION.fullmatch(specification) is not None


def load_function(specification: str) -> Callable[..., Any]:
    """Run the file and return the function.

    Args:
        specification: `FILE.py:FUNCTION`.

    Raises:
        OptionError: if the form is another, the file is missing or fails, or it has no such
            function.
    """
    match = _SPECIFICATION.fullmatch(specification)
    if match is None:
        raise OptionError(f"{specification!r} is not of the form FILE.py:FUNCTION")
    path = Path(match["file"])
    if not is_file(path):
        raise OptionError(f"{path} does not exist; give the path of a Python file")
    module_specification = importlib.util.spec_from_file_location(path.stem, path)
    assert module_specification is not None and module_specification.loader is not None
    module = importlib.util.module_from_spec(module_specification)
    try:
        module_specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise OptionError(f"{path} fails when run: {describe(error)}") from error
    function = getattr(module, match["function"], None)
    if not callable(function):
        raise OptionError(f"{path} has no function {match['function']!r}; check its name")
    return function  # type: ignore[no-any-return]
