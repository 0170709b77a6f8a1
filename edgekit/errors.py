"""The errors a user sees: what is wrong, where, and how to fix it. Only the command line turns them into exit codes."""

from __future__ import annotations

from collections.abc import Iterable


class EdgekitError(Exception):
    """Something the user can act on. `message` says what and where, `hint` how to fix it. Exit code 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.hint}" if self.hint else self.message


class BadModel(EdgekitError):
    """The model file is damaged, of the wrong format, or contradicts itself."""


class OpenShape(BadModel):
    """A model that does not say the sizes of its inputs `inputs`: --shape says them, or data does."""

    def __init__(self, message: str, hint: str = "", inputs: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.inputs = tuple(inputs)


class BadData(EdgekitError):
    """Calibration or evaluation data has the wrong names, shape, dtype or values."""


class BadTarget(EdgekitError):
    """Unknown or broken device profile."""


class BadConfig(EdgekitError):
    """A broken edgekit.toml, recipe or option combination."""


class MissingTool(EdgekitError):
    """An optional library, compiler or emulator is not installed; the hint is the install line."""


class DoesNotFit(EdgekitError):
    """The model does not fit the board's flash or RAM; the message holds the sizes."""


class Unsupported(EdgekitError):
    """Nodes that cannot be handled: all of them at once, each as (node source, what is wrong, what to write instead). hint:
    what to do about them together."""

    def __init__(self, what: str, problems: Iterable[tuple[str, str, str]], hint: str = "") -> None:
        self.problems = tuple(problems)
        lines = [f"  {where}: {why}" + (f" (instead: {fix})" if fix else "") for where, why, fix in self.problems]
        super().__init__("\n".join([f"{what}: {len(self.problems)} node(s) cannot be handled", *lines]), hint)
