"""Sizes as people write them: `4G`, `4GiB`, `512M`; a bare number in text is MiB. A number is bytes."""

from __future__ import annotations

import re
from typing import Union

Size = Union[int, str]

_UNITS = {"": 2, "m": 2, "mb": 2, "mib": 2, "b": 0, "k": 1, "kb": 1, "kib": 1, "g": 3, "gb": 3, "gib": 3, "t": 4}
_UNITS |= {"tb": 4, "tib": 4}


def size_of(size: Size | None) -> int | None:
    """Bytes of a size."""
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0):
        return size
    found = re.fullmatch(r"([0-9]{1,15})([A-Za-z]*)", size) if isinstance(size, str) else None
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"size {size!r} is not valid: write it like 4G, 4GiB or 512M; a number is bytes")
    return int(found[1]) << (10 * _UNITS[found[2].lower()])
