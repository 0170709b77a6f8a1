"""All benchmarks that need no data from elsewhere, one after the other: `python -m benchmarks` (`make bench`).

Exit status 1 when one of them misses its limits. Run one alone to give it data: `python -m benchmarks.<name> --help`.
"""

from __future__ import annotations

import subprocess
import sys

NAMES = ("toolchain", "onnx_nodes")


def main() -> int:
    failed = []
    for name in NAMES:
        print(f"\n=== python -m benchmarks.{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    print(f"\nmissed: {', '.join(failed)}" if failed else "\nall benchmarks kept their limits")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
