"""Engines that run a model file, by name.

Whoever has an engine enters it here, and what measures asks here: neither imports the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Feeds = Mapping[str, "np.ndarray[Any, Any]"]
"""Inputs by name."""


@dataclass(frozen=True)
class OpenModel:
    """A model file that an engine has loaded.

    Attributes:
        run: takes inputs by name and returns the outputs.
        close: frees threads and memory; the model runs no more.
        ran_by: the engine that really runs it.
    """

    run: Callable[[Feeds], list[Any]]
    close: Callable[[], None]
    ran_by: str


Opener = Callable[[Path, int], OpenModel]
"""From a model file and the number of threads for one inference.

It raises ModelError if it cannot load the file, and OptionError if what it needs is not installed.
"""

ENGINES: dict[str, Opener] = {}
"""By name. `gossamer` enters its own, and `gossamer.energy` those of others."""
