"""The one line protocol in which every exported project says how its golden vectors came out (docs/projects.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.errors import BadData

VERSION = 1
_HEADER = re.compile(r"edgekit (\d+) (\S+) (\d+)")
_RUN = re.compile(r"run (\d+) status (-?\d+) different (\d+)(?: us (\d+))?(?: cycles (\d+))? argmax (\d+)(?: label (.*))?")
_GOLDEN = re.compile(r"golden ([0-9a-f]{16})")
_CLOCK = re.compile(r"clock ([1-9]\d*)")
_HINT = "reset the board and read again from its first line"


@dataclass(frozen=True)
class Run:
    """One golden vector. status: what the model's function returned (0 is well); different: output elements that differ
    from the expected ones; argmax: index of the first output's largest element; micros: duration in µs, None when the
    board has no clock; label: the name of argmax, or ""; cycles: of the core, None where it does not count them."""

    index: int
    status: int
    different: int
    argmax: int
    micros: int | None = None
    label: str = ""
    cycles: int | None = None

    @property
    def passed(self) -> bool:
        return self.status == 0 and self.different == 0


@dataclass(frozen=True)
class SelfTest:
    """What a board printed. vectors: how many it announced; error: why it gave up before the last, or "";
    golden: `selftest.digest` of the vectors it has, "" from an older export; clock_hz: cycles a second, None where it does not
    say."""

    name: str
    vectors: int
    runs: tuple[Run, ...]
    passed: bool
    error: str = ""
    golden: str = ""
    clock_hz: int | None = None


def read_selftest(text: str) -> SelfTest:
    """Parse what came over the serial line: any line ends, any lines of a boot loader around it; of several starts (a
    board that was reset) the last counts. Raises BadData when it is not the protocol, is cut short, or contradicts itself.
    """
    lines = [line.strip("\r\0 ") for line in text.split("\n")]
    starts = [i for i, line in enumerate(lines) if _HEADER.fullmatch(line)]
    if not starts:
        raise BadData("no line 'edgekit 1 <name> <vectors>': this is not the output of an exported project's self-test", _HINT)
    head = _HEADER.fullmatch(lines[starts[-1]])
    assert head is not None
    version, name, vectors = int(head[1]), head[2], int(head[3])
    if version != VERSION:
        raise BadData(f"the self-test speaks version {version} of the protocol, not {VERSION}", "export the project again")
    runs: list[Run] = []
    error = golden = ""
    clock: int | None = None
    for line in lines[starts[-1] + 1 :]:
        if match := _RUN.fullmatch(line):
            micros = None if match[4] is None else int(match[4])
            cycles = None if match[5] is None else int(match[5])
            runs.append(Run(int(match[1]), int(match[2]), int(match[3]), int(match[6]), micros, match[7] or "", cycles))
        elif line.startswith("run "):
            raise BadData(f"cannot read the line {line!r}", _HINT)
        elif line.startswith("error "):
            error = line.removeprefix("error ")
        elif match := _GOLDEN.fullmatch(line):
            golden = match[1]
        elif match := _CLOCK.fullmatch(line):
            clock = int(match[1])
        elif line in {"end pass", "end fail"}:
            return _checked(SelfTest(name, vectors, tuple(runs), line == "end pass", error, golden, clock))
    raise BadData(f"the self-test of '{name}' did not come to its end: {len(runs)} of {vectors} vectors", _HINT)


def _checked(found: SelfTest) -> SelfTest:
    """Raises BadData when lines are missing, doubled, or do not agree with the verdict."""
    indices = [run.index for run in found.runs]
    if indices != list(range(found.vectors)) and not (found.error and indices == list(range(len(indices)))):
        raise BadData(f"'{found.name}' announced {found.vectors} vectors and printed {indices}", _HINT)
    if found.passed != (not found.error and all(run.passed for run in found.runs)):
        said = "pass" if found.passed else "fail"
        raise BadData(f"'{found.name}' says '{said}', its {len(found.runs)} lines do not", _HINT)
    return found
