"""The tf.distribute strategy and the numerical precision for the names that flags give."""

import json
import os
from collections.abc import Mapping

import tensorflow as tf
from absl import logging

from audio_triplet.config import PRECISIONS, STRATEGIES
from audio_triplet.errors import ConfigError

# Values of oneDNN's variable by which a user forbids it the instructions for bfloat16.
_ISA_WITHOUT_BFLOAT16 = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
)


def build_strategy(name: str = "auto", tpu: str = "") -> tf.distribute.Strategy:
    """Builds a strategy.

    Args:
      name: `cpu`: one CPU; `mirrored`: all GPUs of this machine, or all its logical CPUs when it
        has none; `multi_worker`: the cluster in TF_CONFIG; `tpu`; `auto`: a TPU if one is named,
        else `mirrored` if there are several GPUs, else the single device.
      tpu: Name or address of the TPU; `local` on a TPU VM.

    Returns:
      The strategy.

    Raises:
      ConfigError: Unknown name, or the devices it asks for cannot be reached.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"strategy={name!r} is none of {', '.join(STRATEGIES)}")
    if name == "tpu" or (name == "auto" and tpu):
        return _tpu_strategy(tpu)
    if name == "multi_worker":
        return _multi_worker_strategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    if name == "mirrored" or len(gpus) > 1:
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ConfigError(
            f"no TPU {tpu or 'local'!r} can be reached ({type(error).__name__}); on a TPU VM "
            "install tensorflow-tpu and use --tpu=local, elsewhere give its name or grpc address"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _multi_worker_strategy() -> tf.distribute.Strategy:
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", ""))
        workers, number = cluster["cluster"]["worker"], cluster["task"]["index"]
        logging.info("worker %d of %d: waiting for the others", number + 1, len(workers))
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            'strategy=multi_worker needs the environment variable TF_CONFIG, as {"cluster": '
            '{"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}} on the first '
            f"worker ({type(error).__name__}: {error})"
        ) from error
    except RuntimeError as error:  # TensorFlow was used before: a mistake of the program
        raise ConfigError(f"strategy=multi_worker: {error}") from error
    except tf.errors.OpError as error:
        raise ConfigError(
            f"strategy=multi_worker: the cluster of TF_CONFIG did not come together "
            f"({str(error.message).splitlines()[0]}); start all workers within minutes"
        ) from error


def workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return max(1, strategy.cluster_resolver.cluster_spec().num_tasks("worker"))
    return 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes checkpoints and logs."""
    return strategy.extended.should_checkpoint


def check_paths(name: str, tpu: str, paths: Mapping[str, str]) -> None:
    """Checks that a TPU can read all paths, before any work.

    On a TPU VM (`--tpu=local`) the input pipeline runs on that machine and reads its disks. A named
    TPU runs it on its own hosts, which read Google Cloud Storage but not our disks.

    Args:
      name: As in `build_strategy`.
      tpu: Likewise.
      paths: Flag → path.

    Raises:
      ConfigError: A path is not on gs://.
    """
    if tpu in ("", "local") or name not in ("auto", "tpu"):
        return
    for flag, path in paths.items():
        if not path.startswith("gs://"):
            raise ConfigError(
                f"--{flag}={path}: the TPU {tpu!r} reads and writes gs:// only; copy it to a "
                "bucket near the TPU, or run on a TPU VM with --tpu=local"
            )


def choose_precision(name: str, strategy: tf.distribute.Strategy) -> str:
    """The Keras dtype policy for a precision flag.

    Args:
      name: `float32`, `mixed_bfloat16`, or `auto`: bfloat16 where the hardware is fast
        at it, see `has_native_bfloat16`.
      strategy: Where it will run.

    Returns:
      `float32` or `mixed_bfloat16`.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"precision={name!r} is none of {', '.join(PRECISIONS)}")
    native = has_native_bfloat16(strategy)
    if name == "auto":
        return "mixed_bfloat16" if native else "float32"
    if name == "mixed_bfloat16" and not native:
        logging.warning(
            "this hardware has no fast bfloat16 (a CPU needs AMX, or AMD's AVX-512 bfloat16); "
            "expect it to be slower than float32"
        )
    return name


def has_native_bfloat16(strategy: tf.distribute.Strategy) -> bool:
    """Whether the strategy's devices train faster in bfloat16 than in float32.

    TPUs do, GPUs of compute capability 8 or more, and CPUs as `fast_bfloat16` says.
    """
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return True
    if any("GPU" in device for device in strategy.extended.worker_devices):
        details = map(
            tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU")
        )
        return all(detail.get("compute_capability", (0, 0))[0] >= 8 for detail in details)
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _ISA_WITHOUT_BFLOAT16:
        return False
    return fast_bfloat16(*cpu_vendor_and_flags())


def fast_bfloat16(vendor: str, flags: frozenset[str]) -> bool:
    """Whether a CPU's bfloat16 products are faster than its float32 ones in a training step.

    With AMX they are. AVX-512's bfloat16 products alone gave 1.8 times float32's rate on AMD's
    Zen 4 and 0.6 times on an Intel Xeon; without either, a ninth (BUILD_NOTES, "Measured here").

    Args:
      vendor: As in /proc/cpuinfo, such as `AuthenticAMD`.
      flags: Instruction set flags, likewise.
    """
    return "amx_bf16" in flags or (vendor == "AuthenticAMD" and "avx512_bf16" in flags)


def forward_gradients_are_faster(strategy: tf.distribute.Strategy, precision: str) -> bool:
    """Whether convolutions' gradients are better computed by the kernels for forward.

    So it is on CPUs without AVX-512, where a step in float32 gains a fifth (vggish) to a third.

    Args:
      strategy: Where it will run.
      precision: From `choose_precision`.
    """
    if precision != "float32" or isinstance(strategy, tf.distribute.TPUStrategy):
        return False
    if any("GPU" in device for device in strategy.extended.worker_devices):
        return False
    _, flags = cpu_vendor_and_flags()
    return "avx2" in flags and "avx512f" not in flags


def cpu_vendor_and_flags() -> tuple[str, frozenset[str]]:
    """Vendor and instruction set flags of this machine's CPU; empty where they are unknown."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.partition(":") for line in file.read().splitlines()]
    except OSError:
        return "", frozenset()
    cpu = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # the first one
    return cpu.get("vendor_id", ""), frozenset(cpu.get("flags", "").split())
