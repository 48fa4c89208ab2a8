"""Finding models, and the digest that identifies one.

No TensorFlow here: commands ask before they import it.
"""

import hashlib
import os
import urllib.parse

from audio_triplet.errors import ExportError

RELEASED = "debian-sounds"

# Models of others, see `other_models`: kind → what follows the colon.
OTHERS = {"hear": "MODULE[?weights=FILE]", "tflite": "FILE", "onnx": "FILE"}

_GRAPH_FILE = "saved_model.pb"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def is_of_others(model: str) -> bool:
    """Whether a model is named as one of others, `KIND:…`, rather than by its folder."""
    kind, colon, _ = model.partition(":")
    return bool(colon) and kind in OTHERS


def located(model: str) -> str:
    """A model's name that holds in any working directory."""
    return model if is_of_others(model) else os.path.abspath(model)


def files_of(model: str) -> list[str]:
    """Whole paths of what has to be there for a model to be loaded, as far as its name says."""
    if not is_of_others(model):
        return [os.path.abspath(model)]
    kind, _, rest = model.partition(":")
    if kind == "hear":
        return urllib.parse.parse_qs(rest.partition("?")[2]).get("weights", [])
    return [rest, os.path.splitext(rest)[0] + ".json"]


def holds_model(path: str) -> bool:
    """Whether a folder is that of a SavedModel."""
    return os.path.exists(os.path.join(path, _GRAPH_FILE))


def check_model(path: str) -> None:
    """Checks that a folder is that of a SavedModel.

    Raises:
      ExportError: It is not.
    """
    if not holds_model(path):
        raise ExportError(f"{path}: holds no saved_model.pb; give the folder of a SavedModel")


def released_model_path() -> str:
    """The folder of the released model: inside an installed package, or in the clone.

    Raises:
      ExportError: It is in neither.
    """
    for path in released_folders():
        return path
    raise ExportError(
        f"{RELEASED}: the released model is not in this installation ({_PACKAGE}); install the "
        "package again, or name a model"
    )


def released_folders() -> list[str]:
    """Where the released model is; normally one folder."""
    candidates = (
        os.path.join(_PACKAGE, "released", RELEASED),
        os.path.join(_PACKAGE, "released"),
        os.path.join(os.path.dirname(_PACKAGE), "models", RELEASED),
    )
    return [path for path in candidates if holds_model(path)]


def find_model(given: str | None, recorded: str, digest: str, owner: str) -> str:
    """Finds the model that something was made with.

    Args:
      given: What the user names; trusted, because whoever loads it compares digests. None:
        look for it.
      recorded: Its folder at that time, or how it was named as one of others.
      digest: Its digest. The released model is recognised by it wherever it is installed.
      owner: What was made with it, for the message.

    Returns:
      The model's folder, or name.

    Raises:
      ExportError: It is not found, or is a module, which has to be given.
    """
    if given:
        return given
    if recorded.startswith("hear:"):  # an index of a stranger's must not choose what is imported
        raise ExportError(
            f"{owner}: its model is {recorded}, a module that would be run; if you trust it, name "
            f"it: --model={recorded}"
        )
    if os.path.isdir(recorded) or is_of_others(recorded):
        return recorded
    try:
        released = released_model_path()
        if digest_of(released) == digest:
            return released
    except (ExportError, OSError):
        pass
    raise ExportError(
        f"{owner}: its model is no longer at {recorded}; give its folder with --model"
    )


def digest_of(path: str) -> str:
    """A hash of a SavedModel's graph and weights; it does not depend on the folder.

    Raises:
      OSError: There is none.
    """
    digest = hashlib.sha256()
    variables = os.path.join(path, "variables")
    names = sorted(os.listdir(variables)) if os.path.isdir(variables) else []
    for name in [_GRAPH_FILE, *(f"variables/{name}" for name in names)]:
        digest.update(f"{name}\0{os.path.getsize(os.path.join(path, name))}\0".encode())
        with open(os.path.join(path, name), "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
