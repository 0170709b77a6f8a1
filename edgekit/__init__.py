"""edgekit: a trained network to a phone, a Raspberry Pi or a microcontroller, small, fast and provably right.

The verbs of the command line, as functions: `load`, `inspect`, `quantize`, `export`, `bench`, `verify` (see `edgekit.api`).
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.api import bench as bench
    from edgekit.api import export as export
    from edgekit.api import inspect as inspect
    from edgekit.api import load as load
    from edgekit.api import quantize as quantize
    from edgekit.api import verify as verify

__version__ = "0.1.0"
_MODULES = ("bench", "export", "load", "verify")  # verbs that have a package or module of their own
_FUNCTIONS = ("inspect", "quantize")


def __getattr__(name: str) -> Any:
    """A verb, loaded when first used: `import edgekit` costs nothing."""
    if name in _MODULES:
        return import_module(f"edgekit.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module("edgekit.api"), name)
    raise AttributeError(f"module 'edgekit' has no attribute '{name}'")


class _Verb(ModuleType):
    """A module named as its verb (edgekit/load) that can be called as the verb (edgekit.load)."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(import_module("edgekit.api"), self.__name__.rpartition(".")[2])(*args, **options)


class _Package(ModuleType):
    """This package: importing edgekit.load binds the name to the module edgekit/load; that is made callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MODULES and type(value) is ModuleType:
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
