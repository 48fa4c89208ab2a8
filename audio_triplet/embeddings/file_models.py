"""Models in a file: TensorFlow Lite (by LiteRT) and ONNX (by ONNX Runtime), with JSON beside it.

    tflite:BirdNET.tflite   and   BirdNET.json: {"rate": 48000, "window": 3.0, "output": 545}
    onnx:perch.onnx         and   perch.json: {"rate": 32000, "window": 5.0, "output": "embedding"}

| entry | |
|---|---|
| `rate` | samples per second that it takes |
| `window` | seconds that it takes at once |
| `hop` | seconds from one window to the next by default; missing: the window |
| `output` | its name; in TensorFlow Lite also that, or the number, of a tensor inside |
| `input` | `waveform`, the default, or `log_mel`: patches of our front end, [n, 96, 64] |

The input may be [samples], [1, samples] or [n, samples]. An output with an axis between windows and
dimensions (frames in time) is averaged over it.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from audio_triplet import front_end
from audio_triplet.config import FRONT_END
from audio_triplet.embeddings.native_log import without_chatter
from audio_triplet.embeddings.window_model import (
    Window,
    WindowModel,
    digest_of,
    read_description,
)
from audio_triplet.errors import ExportError

_THREADS = 2
LOG_MEL = "log_mel"


def open_file(kind: str, file: str) -> WindowModel:
    """Loads a model's file.

    Args:
      kind: `tflite` or `onnx`.
      file: Its path; FILE without its extension and with `.json` describes it.

    Raises:
      ExportError: It is not there, cannot be loaded, or its description does not fit it.
    """
    file = os.path.abspath(file)
    if not os.path.isfile(file):
        raise ExportError(f"{file}: is not there; give the model's file")
    beside = description_file(file)
    described = read_description(beside)
    takes = described.get("input", "waveform")
    if takes not in ("waveform", LOG_MEL):
        raise ExportError(
            f"{beside}: input={takes!r} is neither waveform nor {LOG_MEL}; correct it"
        )
    if takes == LOG_MEL:  # our front end's own
        described.setdefault("rate", FRONT_END.sample_rate)
        described.setdefault("window", FRONT_END.patch_samples / FRONT_END.sample_rate)
        described.setdefault("hop", FRONT_END.patch_seconds)
    window = Window.of(described, beside)
    if takes == LOG_MEL and (window.rate, window.samples) != (
        FRONT_END.sample_rate,
        FRONT_END.patch_samples,
    ):
        raise ExportError(f"{beside}: {LOG_MEL} has a rate and window of its own; leave them out")
    load = {"tflite": _litert, "onnx": _onnx_runtime}[kind]
    one = load(file, described.get("output"))

    def run(windows: np.ndarray) -> np.ndarray:
        given = _log_mel(windows) if takes == LOG_MEL else windows
        return np.stack([_vector(one(each)) for each in given])

    told = {name: str(described.get(name)) for name in ("output", "input")}
    told |= {"rate": str(window.rate), "window": f"{window.seconds:g}"}
    return WindowModel(f"{kind}:{file}", digest_of(told, file), window, run)


def description_file(file: str) -> str:
    """The JSON that describes a model's file."""
    return os.path.splitext(file)[0] + ".json"


def _log_mel(windows: np.ndarray) -> np.ndarray:
    """[n, samples] → log mel patches [n, 96, 64]."""
    return front_end.log_mel_numpy(np.stack([*map(front_end.mel_energies_at_once, windows)]))


def _vector(output: np.ndarray) -> np.ndarray:
    """One window's output as a vector: the mean over all axes but the last."""
    output = np.asarray(output, np.float64)
    return output.reshape(-1, output.shape[-1]).mean(axis=0) if output.ndim else output[None]


def _litert(file: str, output: Any) -> Callable[[np.ndarray], np.ndarray]:
    """One window at a time by LiteRT; any tensor of the graph can be the output."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ExportError(
            f"{file}: LiteRT cannot be used ({error}): pip install ai-edge-litert"
        ) from error
    lock = threading.Lock()

    def load(whole_graph: bool):
        try:
            with without_chatter(), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that keeping all takes memory
                # Tensors inside are overwritten by later ones unless they are all kept.
                return Interpreter(
                    model_path=file,
                    num_threads=_THREADS,
                    experimental_preserve_all_tensors=whole_graph,
                )
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"{file}: cannot be loaded ({_first_line(error)})") from error

    interpreter = load(False)
    outputs = _named_outputs(interpreter)
    found = list(dict.fromkeys(outputs.values()))
    if output is not None:
        found = [outputs[output]] if output in outputs else []
    if not found:
        interpreter = load(True)
        inside = interpreter.get_tensor_details()
        found = [d["index"] for d in inside if output in (d["name"], d["index"])]
    index = _only(found, list(outputs), file, output)
    (taken,) = _one_input(interpreter.get_input_details(), file)
    resized: tuple[int, ...] | None = None

    def one(window: np.ndarray) -> np.ndarray:
        nonlocal resized
        shape = _input_shape(len(taken["shape_signature"]), window)
        with lock:
            if resized != shape:
                if tuple(taken["shape"]) != shape:
                    interpreter.resize_tensor_input(taken["index"], shape)
                interpreter.allocate_tensors()
                resized = shape
            interpreter.set_tensor(taken["index"], window.reshape(shape))
            interpreter.invoke()
            return interpreter.get_tensor(index).copy()

    return one


def _named_outputs(interpreter: Any) -> dict[str, int]:
    """The graph's outputs by name, where there is a signature by that of the signature."""
    for key in interpreter.get_signature_list():
        details = interpreter.get_signature_runner(key).get_output_details()
        return {name: detail["index"] for name, detail in details.items()}
    return {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}


def _onnx_runtime(file: str, output: Any) -> Callable[[np.ndarray], np.ndarray]:
    """One window at a time by ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ExportError(
            f"{file}: ONNX Runtime cannot be used ({error}): pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = _THREADS, 3
    try:
        session = onnxruntime.InferenceSession(
            file, options, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:  # its classes have no base of their own
        raise ExportError(f"{file}: cannot be loaded ({_first_line(error)})") from error
    names = [each.name for each in session.get_outputs()]
    found = names if output is None else [name for name in names if name == output]
    name = _only(found, names, file, output)
    (taken,) = _one_input(session.get_inputs(), file)

    def one(window: np.ndarray) -> np.ndarray:
        given = window.reshape(_input_shape(len(taken.shape), window))
        return session.run([name], {taken.name: given})[0]

    return one


def _input_shape(axes: int, window: np.ndarray) -> tuple[int, ...]:
    """The shape that an input of so many axes has for one window."""
    return (1,) * max(0, axes - window.ndim) + window.shape


def _one_input(inputs: list, file: str) -> list:
    if len(inputs) != 1:
        raise ExportError(f"{file}: takes {len(inputs)} inputs; a model of one is needed")
    return inputs


def _only(found: list, names: list[str], file: str, output: Any) -> Any:
    """The one output that is meant."""
    if len(found) == 1:
        return found[0]
    asked = "" if output is None else f"output {output!r} is not in it; "
    raise ExportError(
        f'{file}: {asked}its outputs are {", ".join(names)}; name one as "output" in '
        f"{description_file(file)}"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
