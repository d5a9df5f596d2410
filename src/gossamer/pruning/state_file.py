"""Files of torch states: tensors and plain values, nothing that has to be executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gossamer.files import atomic_path


def write_state(state: Mapping[str, Any], path: str | Path) -> None:
    """Write a state; until it is whole, the old file stays.

    Raises:
        OutputError: if it cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:
            # What torch says of a full disk names a line of its own code.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
