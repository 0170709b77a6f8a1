"""The texts of project files: templates/ with @key@ in them."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping


def fill(template: str, values: Mapping[str, str]) -> str:
    """A template's text with each @key@ replaced."""
    content = importlib.resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    for key, value in values.items():
        content = content.replace(f"@{key}@", value)
    return content
