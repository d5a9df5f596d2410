"""Numbers and names as people read them: three figures and a unit, three names of many."""

from __future__ import annotations

import math
from collections.abc import Iterable

_SMALL = ("", "m", "\N{MICRO SIGN}", "n", "p")
_LARGE = ("", "k", "M", "G", "T", "P")
# So many names are told; of others the number.
_TOLD = 3


def count(number: int) -> str:
    """Return a count: 384, 147 k, 22.7 M."""
    return str(number) if abs(number) < 1000 else quantity(number, "").strip()


def size(number: int | None) -> str:
    """Return bytes in powers of ten: 90.9 MB; a dash where unknown."""
    if number is None:
        return "-"
    return f"{number} B" if number < 1000 else quantity(number, "B")


def percent(fraction: float) -> str:
    """Return a fraction 0 to 1 in percent, one digit behind the point: 79.8 %."""
    return f"{100 * fraction:.1f} %"


def listed(names: Iterable[str]) -> str:
    """Return names as people read them, of many the first three: 'a', 'b', 'c' and 2 more."""
    quoted = [repr(name) for name in names]
    more = f" and {len(quoted) - _TOLD} more" if len(quoted) > _TOLD else ""
    return ", ".join(quoted[:_TOLD]) + more


def quantity(number: float, unit: str) -> str:
    """Return a number of zero or more with its unit's prefix: 0.0123 and "s" give 12.3 ms."""
    if number == 0 or not math.isfinite(number):
        return f"{number:g} {unit}"
    # Rounded before the prefix is chosen, so that 999.96 becomes 1.00 k and not 1000.
    rounded = float(f"{number:.3g}")
    power = math.floor(math.log10(abs(rounded)) / 3)
    power = max(1 - len(_SMALL), min(power, len(_LARGE) - 1))
    prefix = _LARGE[power] if power >= 0 else _SMALL[-power]
    return f"{figures(rounded / 1000.0**power)} {prefix}{unit}"


def figures(number: float) -> str:
    """Return a number with three figures and no exponent where it can: 5.31, 12.3, 118."""
    if not math.isfinite(number) or number == 0:
        return f"{number:g}"
    digits = 2 - math.floor(math.log10(abs(float(f"{number:.3g}"))))
    return f"{number:.{min(max(digits, 0), 6)}f}"
