"""Calls of the float32 kernels."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.export.c.site import Site

CALLS: dict[str, Callable[[Site], list[str]]] = {}
