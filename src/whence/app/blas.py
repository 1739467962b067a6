"""Let OpenBLAS use the vector width that the processor has.

OpenBLAS picks its kernels by the processor's model, and takes an AMD processor newer than itself for an old one: on Zen 4
and 5 it then multiplies with 256-bit kernels, at half the speed. Asking for the 512-bit ones before numpy is imported
mends that. Nothing is changed where the user, or OpenBLAS, has chosen already.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_NEEDED = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


def wide_kernels(cpuinfo: str) -> bool:
    """Whether a processor with this /proc/cpuinfo is an AMD one with all that the 512-bit kernels use."""
    fields = dict(line.split(":", 1) for line in cpuinfo.split("\n\n", 1)[0].splitlines() if ":" in line)
    known = {key.strip(): value.strip() for key, value in fields.items()}
    return known.get("vendor_id") == "AuthenticAMD" and set(known.get("flags", "").split()) >= _NEEDED


def choose() -> None:
    """Set OPENBLAS_CORETYPE for this process where that helps. Has no effect once numpy is imported."""
    if "OPENBLAS_CORETYPE" in os.environ or "numpy" in sys.modules or not sys.platform.startswith("linux"):
        return
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if wide_kernels(info):
        os.environ["OPENBLAS_CORETYPE"] = "SkylakeX"
