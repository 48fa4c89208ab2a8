"""An export for other runtimes: TensorFlow Lite and ONNX.

    encoder = encoder_tflite(model, "int8", calibration)   # log mel patches → embeddings
    front_end = front_end_tflite(samples)                  # waveform → log mel patches
    whole = waveform_tflite(model, samples)                # both, for sound of one length

Only the encoder is quantised: the energies before the logarithm span five decades, too many for 256
values, so the front end stays float32 [D]. It has no weights worth making smaller. An encoder with
`normalize_loudness` undoes the logarithm inside: its arithmetic outside of convolutions and linear
layers stays float32 too.
"""

import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from audio_triplet import features
from audio_triplet.embeddings import saved_model
from audio_triplet.errors import DeploymentError

PRECISIONS = ("float32", "float16", "int8")

# Least cosine between the embeddings of a conversion and the SavedModel's own.
LEAST_COSINE = {"float32": 0.9999, "float16": 0.999, "int8": 0.98}

# TensorFlow Lite's names of the operators that normalise loudness; quantised, no sound is left.
_LOUDNESS_OPERATORS = ["EXP", "LOG", "SUB", "MAXIMUM", "MEAN", "DIV", "MUL", "ADD"]

_OPSET = 17  # of ONNX: the newest that tf2onnx was written for, and old enough for every runtime


def encoder_tflite(
    model: saved_model.Model, precision: str = "float32", calibration: np.ndarray | None = None
) -> bytes:
    """The encoder as a TensorFlow Lite model of built-in operators only.

    Args:
      model: A loaded export.
      precision: `float32`; `float16`: weights of half the size; `int8`: weights and activations,
        float32 only on the way in and out.
      calibration: float32[n, 96, 64] log mel patches of real sound, for int8; some hundred.

    Returns:
      The .tflite file. Signature: `log_mel` float32[n, 96, 64] → `embedding` float32[n, dim], n
      as the caller resizes it. Of int8 the norms are only about one.

    Raises:
      DeploymentError: The precision is unknown, or int8 lacks patches for calibration.
      ExportError: The export has no encoder signature.
    """
    config = features.DEFAULT
    spec = tf.TensorSpec([None, config.patch_frames, config.mel_bands], tf.float32, name="log_mel")
    return _to_tflite(
        model, lambda log_mel: {"embedding": model.encode(log_mel)}, spec, precision, calibration
    )


def front_end_tflite(samples: int) -> bytes:
    """The front end as a TensorFlow Lite model, for sound of one length.

    Args:
      samples: Length of the waveform at 16 kHz.

    Returns:
      The .tflite file. Signature: `waveform` float32[1, samples] → `log_mel`
      float32[patches, 96, 64].
    """

    def run(waveform):
        return {"log_mel": features.log_mel(features.patches(features.mel_energies(waveform))[0])}

    return _to_tflite(None, run, _waveform_spec(samples), "float32")


def waveform_tflite(model: saved_model.Model, samples: int, precision: str = "float32") -> bytes:
    """Front end and encoder as one TensorFlow Lite model, for sound of one length.

    Args:
      model: A loaded export.
      samples: Length of the waveform at 16 kHz.
      precision: `float32` or `float16`.

    Returns:
      The .tflite file. Signature: `waveform` float32[1, samples] → the three outputs of the
      SavedModel.

    Raises:
      DeploymentError: The precision is another one.
      ExportError: The export has no encoder signature.
    """
    if precision == "int8":
        raise DeploymentError("int8 is for the encoder alone: the front end needs float32")
    return _to_tflite(
        model,
        lambda waveform: saved_model.embed_waveforms(model.encode, waveform),
        _waveform_spec(samples),
        precision,
    )


def _waveform_spec(samples: int) -> tf.TensorSpec:
    if samples < features.DEFAULT.window_samples:
        raise DeploymentError(f"{samples} samples are less than one window of 25 ms")
    return tf.TensorSpec([1, samples], tf.float32, name="waveform")


def _to_tflite(
    model: saved_model.Model | None,
    run: Callable,
    spec: tf.TensorSpec,
    precision: str,
    calibration: np.ndarray | None = None,
) -> bytes:
    if precision not in PRECISIONS:
        raise DeploymentError(f"precision={precision!r} is none of {', '.join(PRECISIONS)}")
    if precision == "int8" and (calibration is None or not len(calibration)):
        raise DeploymentError("int8 needs patches of real sound to be calibrated with")
    module = tf.Module()
    module.weights = model.variables if model else ()  # the saver needs their owner
    function = tf.function(run, autograph=False).get_concrete_function(spec)
    # Through a SavedModel, because it keeps the names of inputs and outputs.
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={saved_model.SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[saved_model.SIGNATURE]
        )
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif precision == "int8" and calibration is not None:
            converter.representative_dataset = lambda: (
                {spec.name: patch[None].astype(np.float32)} for patch in calibration
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            if model and model.config.get("model", {}).get("normalize_loudness"):
                # The converter itself has no option to leave operators out.
                lite = tf.lite.experimental
                return lite.QuantizationDebugger(
                    converter=converter,
                    debug_dataset=converter.representative_dataset,
                    debug_options=lite.QuantizationDebugOptions(denylisted_ops=_LOUDNESS_OPERATORS),
                ).get_nondebug_quantized_model()
        return converter.convert()


class TfLite:
    """A TensorFlow Lite model that runs.

    Attributes:
      operators: Names of its operators, sorted; `Flex…` ones would need TensorFlow on the device.
    """

    def __init__(self, content: bytes, threads: int = 2):
        """Loads the content of a .tflite file."""
        self._content = content  # the interpreter reads from it
        interpreter = _interpreter()(model_content=content, num_threads=threads)
        self.operators = tuple(sorted({op["op_name"] for op in interpreter._get_ops_details()}))
        self._run = interpreter.get_signature_runner(saved_model.SIGNATURE)

    def __call__(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name, from its one input."""
        (name,) = self._run.get_input_details()
        return self._run(**{name: np.asarray(inputs, np.float32)})


def _interpreter():
    """TensorFlow Lite's interpreter, which newer versions of TensorFlow no longer include."""
    if hasattr(tf.lite, "Interpreter"):
        return tf.lite.Interpreter
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise DeploymentError(
            "this TensorFlow holds no interpreter of TensorFlow Lite: pip install ai-edge-litert"
        ) from None
    return Interpreter


def encoder_onnx(model: saved_model.Model) -> bytes:
    """The encoder as an ONNX model.

    The front end is not in it: tf2onnx has no rule for the way that it uses its transform.

    Args:
      model: A loaded export.

    Returns:
      The .onnx file: `log_mel` float32[n, 96, 64] → `embedding` float32[n, dim].

    Raises:
      DeploymentError: tf2onnx is not installed, or cannot convert it.
      ExportError: The export has no encoder signature.
    """
    config = features.DEFAULT
    spec = tf.TensorSpec([None, config.patch_frames, config.mel_bands], tf.float32, name="log_mel")
    return _to_onnx(lambda log_mel: {"embedding": model.encode(log_mel)}, spec)


def _to_onnx(run: Callable, spec: tf.TensorSpec) -> bytes:
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise DeploymentError(
            f"ONNX needs tf2onnx ({error}): pip install 'audio_triplet[onnx]'"
        ) from None
    function = tf.function(run, input_signature=[spec], autograph=False)
    try:
        content, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=_OPSET)
        # It logs operators that it has no rule for, and leaves them in the graph.
        onnx.checker.check_model(content, full_check=True)
    except (ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        cause = str(error).strip().splitlines()[0]
        raise DeploymentError(f"tf2onnx cannot convert it: {cause}") from error
    return content.SerializeToString()
