"""Which precision a machine trains in."""

import pytest

from audio_triplet import distribution


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("GenuineIntel", {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}, True),
        ("GenuineIntel", {"avx2", "avx512f", "avx512_bf16"}, False),
        ("AuthenticAMD", {"avx2", "avx512f", "avx512_bf16"}, True),
        ("AuthenticAMD", {"avx2"}, False),
        ("", set(), False),
    ],
)
def test_bfloat16_where_it_was_measured_to_be_faster(vendor, flags, fast):
    assert distribution.fast_bfloat16(vendor, frozenset(flags)) == fast


def test_the_cpu_is_told_as_the_kernel_tells_it():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            text = file.read()
    except OSError:
        pytest.skip("no /proc/cpuinfo here")
    vendor, flags = distribution.cpu_vendor_and_flags()
    assert f"vendor_id\t: {vendor}\n" in text or not vendor
    assert all(f" {flag}" in text for flag in flags)


def test_auto_follows_the_hardware_and_a_given_precision_stands():
    strategy = distribution.build_strategy("cpu")
    native = distribution.has_native_bfloat16(strategy)
    expected = "mixed_bfloat16" if native else "float32"
    assert distribution.choose_precision("auto", strategy) == expected
    assert distribution.choose_precision("float32", strategy) == "float32"
    assert distribution.choose_precision("mixed_bfloat16", strategy) == "mixed_bfloat16"
