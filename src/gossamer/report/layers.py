"""Layers as tables show them: alike ones in one row, under short names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]


def groups_of(layers: Sequence[Document]) -> dict[str, list[int]]:
    """Return, by what to call them, layers of one shape whose names differ in numbers only."""
    names = shortened([layer["name"] for layer in layers])
    alike: dict[tuple[str, str], list[int]] = {}
    for index, (name, layer) in enumerate(zip(names, layers, strict=True)):
        key = re.sub(r"\d+", "*", name), f"{layer['rows']} x {layer['columns']}"
        alike.setdefault(key, []).append(index)
    shapes = Counter(name for name, _ in alike)
    groups = {}
    for (name, shape), members in alike.items():
        of_shape = f" of {shape}" if shapes[name] > 1 else ""
        label = f"{name} ({len(members)}{of_shape})"
        groups[names[members[0]] if len(members) == 1 else label] = members
    return groups


def shortened(names: Sequence[str]) -> list[str]:
    """Return the names without the parts that all of them begin and end with."""
    ends = "(?<=/)" if any("/" in name for name in names) else r"(?<=\.)"
    parts = [re.split(ends, name) for name in names]
    if len(parts) == 1:
        return list(names)
    shortest = min(map(len, parts)) - 1
    first = next((i for i in range(shortest) if len({part[i] for part in parts}) > 1), shortest)
    left = shortest - first
    last = next((i for i in range(left) if len({part[-1 - i] for part in parts}) > 1), left)
    return ["".join(part[first : len(part) - last]).strip("/.") for part in parts]
