"""The session on the README's first screen, run for real: `python -m benchmarks.session` prints it, `--write` puts it there.

Commands are the lines that start with "$ " in the first ```console block; each runs in bash in a scratch folder from which
`models/` and `targets/` can be seen.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)


def commands(text: str) -> list[str]:
    """The command lines of the README's session."""
    found = BLOCK.search(text)
    assert found is not None, "the README has no ```console block"
    return [line[2:] for line in found[2].splitlines() if line.startswith("$ ")]


def record(lines: Sequence[str]) -> str:
    """The commands with what they print. A command that fails ends it, with what it said on stderr."""
    shown = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("models", "targets"):
            os.symlink(ROOT / name, Path(folder) / name)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        alias = f'edgekit() {{ "{sys.executable}" -m edgekit "$@"; }}; set -o pipefail; '
        for line in lines:
            done = subprocess.run(["bash", "-c", alias + line], cwd=folder, env=environment, capture_output=True, text=True)
            # head may close the pipe before the command has printed everything.
            if done.returncode not in {0, 141}:
                raise RuntimeError(f"{line}\n{done.stderr}")
            shown.append(f"$ {line}\n{done.stdout}")
    return "".join(shown)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the session into README.md")
    options = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    session = record(commands(text))
    print(session, end="")
    if options.write:
        README.write_text(BLOCK.sub(lambda m: m[1] + session + m[3], text, count=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
