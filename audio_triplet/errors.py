"""Errors whose message a user can act on: one base class, and a class for each kind.

The message is one line, `WHAT: reason; fix`. Commands print only that line and exit with 1. Any
other exception is a defect of ours and keeps its traceback, except the file system's own errors;
see `audio_triplet.commands.terminal`.
"""


class AudioTripletError(Exception):
    """Base of all errors below: something that the user can fix."""


class AudioError(AudioTripletError, ValueError):
    """A sound file that cannot be used. Its text is one line: `PATH: reason; fix`.

    Attributes:
      path: The file, as given.
      reason: What is wrong with it.
      fix: What to do about it.
    """

    def __init__(self, path: str, reason: str, fix: str = "repair or remove it"):
        # All three as args, so that the error survives pickling on its way between processes.
        super().__init__(path, reason, fix)
        self.path = path
        self.reason = reason
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.fix}"


class CorpusError(AudioTripletError, ValueError):
    """A corpus that cannot be used; the message names it and the fix."""


class ManifestError(CorpusError):
    """A manifest that cannot be used; the message names the file, the line and the fix."""


class ArchiveError(CorpusError):
    """Embeddings that cannot be read, written or joined; the message names the fix."""


class ClassifierError(CorpusError):
    """Labels that are not enough to learn from, or a classifier of another model."""


class SearchError(CorpusError):
    """An index or a query that cannot be used; the message names it and the fix."""


class StoreError(SearchError):
    """An object store that cannot be reached, or refuses; the message names address and cause."""


class BrowseError(AudioTripletError, ValueError):
    """A request to `browse` that cannot be answered; the message says why.

    Attributes:
      status: HTTP's number for it.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


class FewLabelsError(AudioTripletError, ValueError):
    """Labelled sounds that cannot be drawn; the message says why."""


class ConfigError(AudioTripletError, ValueError):
    """A configuration that is damaged, or does not match the run to continue."""


class UsageError(AudioTripletError, ValueError):
    """Flags that do not fit together or do not fit the corpus."""


class ExportError(AudioTripletError, ValueError):
    """A SavedModel that is missing, or not one of ours; the message names it and the fix."""


class DeploymentError(AudioTripletError, ValueError):
    """A conversion that cannot be done; the message says what is missing."""


class TrainingError(AudioTripletError, RuntimeError):
    """Training cannot go on; the message says where it stopped and what is kept."""


class LockedError(AudioTripletError, RuntimeError):
    """Another process is writing the folder; the message names both."""


class Interrupted(KeyboardInterrupt):
    """A long job was asked to stop and has saved its state; the message says where.

    Not an `Exception`: code that catches those, to try something else, must not catch this.
    """
