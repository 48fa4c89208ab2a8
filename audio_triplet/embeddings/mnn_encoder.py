"""An encoder file by MNN, for many patches: quicker than by LiteRT, the wider the more.

    mnn_encoder.serve(model)      # a `quick_model.QuickModel`; True: MNN embeds for it from now on

MNN computes 3×3 convolutions of stride 1 by Winograd's algorithm (Lavin and Gray 2016), which
multiplies a quarter as often as LiteRT and oneDNN do; that is exact but for rounding (cosine above
0.999999). A query stays with LiteRT, which is loaded sooner. MNN reads TensorFlow Lite models, but
not all that TensorFlow's converter makes of an encoder: `_for_mnn` rewrites what it does not know.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import types

import numpy as np
from absl import logging

from audio_triplet.embeddings import encoder_file
from audio_triplet.embeddings.native_log import without_chatter
from audio_triplet.embeddings.quick_model import QuickModel
from audio_triplet.errors import ExportError

# Patches that go through the network at once; fewer are filled up. A patch has the same bits in
# whatever place and company; in a batch that is no multiple of four it would have others.
_BATCH = 8

_LEAST_COSINE = 0.99999  # to LiteRT's embeddings

# The converter has a process of its own: it draws from `std::random_device`, which is broken where
# TensorFlow was the first to load C++'s library, and the end of the process.
_CONVERT = """
import sys, _tools
arguments = ["-f", "TFLITE", "--modelFile", sys.argv[1], "--MNNModel", sys.argv[2]]
_tools.mnnconvert(["mnnconvert", *arguments, "--bizCode", "a"])
"""
_CONVERT_SECONDS = 60  # it takes 0.2


def serve(model: QuickModel) -> bool:
    """Lets a model embed by MNN, if that is installed and its embeddings are LiteRT's.

    Args:
      model: A loaded encoder file. It is left as it is if MNN cannot be used, and a line says why.

    Returns:
      Whether MNN serves.
    """
    patches = encoder_file.real_like_patches()
    expected = model.encode_alone(patches)
    try:
        converted = _converted(model.content)
        runner = MnnRunner(converted)
        found = runner.encode(patches)
        cosine = float((found * expected).sum(axis=1).min())
        if not cosine >= _LEAST_COSINE:
            raise ExportError(f"by MNN the embeddings differ (cosine {cosine:.6f})")
        if not np.array_equal(runner.encode(patches[3:]), found[3:]):
            raise ExportError("by MNN an embedding depends on others of its batch")
    except ExportError as error:
        logging.info("%s; LiteRT embeds instead", error)
        return False
    model.run_by(lambda: MnnRunner(converted), runner)
    return True


class MnnRunner:
    """A converted encoder on one core; one thread at a time."""

    def __init__(self, converted: bytes):
        """Loads it.

        Args:
          converted: From `_converted`.

        Raises:
          ExportError: MNN cannot load it.
        """
        self._mnn = _installed("MNN")
        with tempfile.TemporaryDirectory() as folder, without_chatter():
            path = os.path.join(folder, "encoder.mnn")
            with open(path, "wb") as file:
                file.write(converted)
            try:
                self._network = self._mnn.Interpreter(path)
                self._session = self._network.createSession(
                    {"backend": "CPU", "numThread": 1, "precision": "high"}
                )
                self._taken = self._network.getSessionInput(self._session)
                self._shape = (_BATCH, *self._taken.getShape()[1:])
                self._network.resizeTensor(self._taken, self._shape)
                self._network.resizeSession(self._session)
            except Exception as error:  # of whatever class its version has
                raise ExportError(f"MNN cannot load the encoder ({_first_line(error)})") from error

    def encode(self, log_mel: np.ndarray) -> np.ndarray:
        """float32[n, 96, 64] log mel → float32[n, dim], unit norm."""
        firsts = range(0, max(len(log_mel), 1), _BATCH)
        vectors = np.concatenate([self._forward(log_mel[n : n + _BATCH]) for n in firsts])
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _forward(self, log_mel: np.ndarray) -> np.ndarray:
        """A batch of patches or fewer → their vectors, not yet of unit norm."""
        batch = np.zeros(self._shape, np.float32)
        batch[: len(log_mel)] = log_mel
        self._taken.copyFrom(self._tensor(batch))
        code = self._network.runSession(self._session)
        if code:
            raise ExportError(f"MNN stopped with code {code}")
        given = self._network.getSessionOutput(self._session)
        tensor = self._tensor(np.empty(given.getShape(), np.float32))
        given.copyToHostTensor(tensor)
        return tensor.getNumpyData().reshape(_BATCH, -1)[: len(log_mel)].copy()

    def _tensor(self, values: np.ndarray):
        mnn = self._mnn
        return mnn.Tensor(
            values.shape, mnn.Halide_Type_Float, values, mnn.Tensor_DimensionType_Tensorflow
        )


def _converted(content: bytes) -> bytes:
    """A TensorFlow Lite encoder as MNN's model, see `_for_mnn`.

    Raises:
      ExportError: MNN is not installed, or cannot convert it.
    """
    _installed("MNN")
    with tempfile.TemporaryDirectory() as folder:
        before, after = (os.path.join(folder, name) for name in ("a.tflite", "a.mnn"))
        with open(before, "wb") as file:
            file.write(_for_mnn(content))
        # It finds the modules that this process finds, and writes into the folder that it runs in.
        command = [sys.executable, "-P", "-c", _CONVERT, before, after]
        modules = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
        environment = os.environ | {"PYTHONPATH": modules}
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_CONVERT_SECONDS, env=environment, cwd=folder
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ExportError(f"MNN cannot convert the encoder ({_first_line(error)})") from error
        if not os.path.exists(after):
            said = done.stderr.decode(errors="replace").split("\n")
            last = next(filter(None, reversed(said)), f"it ended with code {done.returncode}")
            raise ExportError(f"MNN cannot convert the encoder ({last})")
        with open(after, "rb") as file:
            return file.read()


def _for_mnn(content: bytes) -> bytes:
    """A TensorFlow Lite encoder of operators that MNN knows.

    A ReLU that was fused into the pooling after a convolution goes into that convolution: of a
    maximum it makes no difference which comes first. The last operator, the division by the norm,
    is left out.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    kinds, relu = schema.BuiltinOperator, schema.ActivationFunctionType.RELU
    none = schema.ActivationFunctionType.NONE
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (graph,) = model.subgraphs
    made_by = {int(number): operator for operator in graph.operators for number in operator.outputs}

    def kind(operator) -> int:
        code = model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    readers = [int(number) for operator in graph.operators for number in operator.inputs]
    for pool in graph.operators:
        if kind(pool) != kinds.MAX_POOL_2D or pool.builtinOptions.fusedActivationFunction != relu:
            continue
        convolution = made_by.get(int(pool.inputs[0]))
        if (
            convolution is None
            or kind(convolution) != kinds.CONV_2D
            or convolution.builtinOptions.fusedActivationFunction != none
            or readers.count(int(pool.inputs[0])) != 1
        ):
            raise ExportError("a ReLU of the encoder cannot be moved before its pooling")
        pool.builtinOptions.fusedActivationFunction = none
        convolution.builtinOptions.fusedActivationFunction = relu
    last = made_by[int(graph.outputs[0])]
    if kind(last) != kinds.L2_NORMALIZATION:
        raise ExportError("the encoder does not end in a division by the norm")
    graph.operators.remove(last)
    graph.outputs = [int(last.inputs[0])]
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _installed(name: str) -> types.ModuleType:
    """A module of MNN's.

    Raises:
      ExportError: It cannot be imported.
    """
    try:
        with without_chatter():
            return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(f"MNN cannot be used ({_first_line(error)}): pip install MNN") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
