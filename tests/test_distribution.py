"""Where a machine trains, in which precision, and what it can read there."""

import pytest

from audio_triplet import distribution, layers
from audio_triplet.config import EncoderConfig, RunConfig, TrainingConfig
from audio_triplet.errors import ConfigError
from audio_triplet.training.trainer import Trainer


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


def test_float32_where_onednn_may_not_multiply_bfloat16(monkeypatch):
    """Its products of bfloat16 are then refused in the middle of the first step."""
    strategy = distribution.build_strategy("cpu")
    flags = frozenset({"avx512_bf16"})
    monkeypatch.setattr(distribution, "cpu_vendor_and_flags", lambda: ("AuthenticAMD", flags))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    assert distribution.has_native_bfloat16(strategy)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert not distribution.has_native_bfloat16(strategy)


@pytest.mark.parametrize(
    "flags, precision, faster",
    [
        ({"avx2"}, "float32", True),
        ({"avx2"}, "mixed_bfloat16", False),
        ({"avx2", "avx512f"}, "float32", False),
        ({"sse2"}, "float32", False),  # such as an ARM's: not measured
    ],
)
def test_gradients_forward_where_they_were_measured_to_be_faster(
    monkeypatch, flags, precision, faster
):
    monkeypatch.setattr(distribution, "cpu_vendor_and_flags", lambda: ("", frozenset(flags)))
    strategy = distribution.build_strategy("cpu")
    assert distribution.forward_gradients_are_faster(strategy, precision) == faster
    config = RunConfig(
        encoder=EncoderConfig(width=0.0625), training=TrainingConfig(precision=precision)
    )
    for elsewhere in (False, True):
        encoder = Trainer(config, strategy, for_other_hardware=elsewhere).encoder
        kinds = {type(layer) for layer in encoder.layers}
        assert (layers.ForwardConvolution in kinds) == (faster and not elsewhere)


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


def test_batch_must_divide_over_replicas_and_strategies_are_known():
    with pytest.raises(ValueError, match="none of auto, cpu"):
        distribution.build_strategy("gpu")
    with pytest.raises(ValueError, match="no TPU"):
        distribution.build_strategy("tpu", "local")
    with pytest.raises(ValueError, match="precision"):
        distribution.choose_precision("float16", distribution.build_strategy("cpu"))


def test_multi_worker_needs_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="needs the environment variable TF_CONFIG"):
        distribution.build_strategy("multi_worker")


def test_what_a_tpu_cannot_read_is_refused_up_front():
    paths = {"corpus": "gs://bucket/prepared", "output_dir": "/home/me/run"}
    with pytest.raises(ConfigError, match="--output_dir=/home/me/run: .* gs:// only"):
        distribution.check_paths("tpu", "my-tpu", paths)
    with pytest.raises(ConfigError, match="gs:// only"):
        distribution.check_paths("auto", "grpc://10.0.0.2:8470", paths)
    distribution.check_paths("tpu", "local", paths)  # a TPU VM reads its own disks
    distribution.check_paths("mirrored", "", paths)
    distribution.check_paths("tpu", "my-tpu", {"corpus": "gs://bucket/prepared"})
