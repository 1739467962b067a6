"""How long `import whence` and `whence --help` take: the best of several fresh processes.

    python benchmarks/startup.py

Goals: import under 150 ms, help under 300 ms, on an idle machine. The interpreter's own start is printed beside them.
"""

from __future__ import annotations

import subprocess
import sys
import time

TIMES = 7


def best(command: list[str]) -> float:
    """Least wall-clock milliseconds of a command over several runs. Raises CalledProcessError when it fails."""
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - start)
    return 1000 * min(took)


def inside(code: str) -> float:
    """Least milliseconds that a statement takes inside fresh interpreters."""
    timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", timed]
    runs = (subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(TIMES))
    return 1000 * min(float(run) for run in runs)


if __name__ == "__main__":
    print(f"python -c pass        {best([sys.executable, '-c', 'pass']):7.1f} ms")
    print(f"import whence         {inside('import whence'):7.1f} ms   goal 150")
    print(f"import and whence.Pool{inside('import whence; whence.Pool'):7.1f} ms")
    print(f"whence --help         {best([sys.executable, '-m', 'whence', '--help']):7.1f} ms   goal 300")
