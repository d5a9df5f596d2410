"""What the figures depend on besides the models."""

from __future__ import annotations

import json
import platform

import numpy as np

import gossamer
from gossamer import machine
from gossamer.energy.environment import describe


def test_it_names_processor_cores_and_versions() -> None:
    found = describe()
    assert found["processor"]
    assert found["cores"] == machine.usable_processors()
    assert found["platform"].startswith(platform.system())
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["gossamer"] == gossamer.__version__
    assert json.loads(json.dumps(found)) == found


def test_it_does_not_name_the_machine() -> None:
    assert platform.node() not in json.dumps(describe()["platform"])
