from whence.app.blas import wide_kernels

FLAGS = "fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


def cpu(vendor: str, flags: str) -> str:
    return f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\n"


def test_only_amd_with_all_five_extensions() -> None:
    assert wide_kernels(cpu("AuthenticAMD", FLAGS))
    assert not wide_kernels(cpu("AuthenticAMD", "fpu avx2"))
    assert not wide_kernels(cpu("AuthenticAMD", FLAGS.replace("avx512vl", "")))
    assert not wide_kernels(cpu("GenuineIntel", FLAGS))
    assert not wide_kernels("")
