"""Objects below an address of a store, such as s3://bucket/name: read, write, list, remove.

By fsspec (extra `[store]`), which knows S3, Google's, Azure's and whatever else; credentials are
those of each store's own tools. It is imported when a store is opened. Not by `tf.io.gfile`:
TensorFlow takes seconds to start, and a search starts without it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from audio_triplet import storage
from audio_triplet.errors import StoreError

_AT_ONCE = 8  # transfers

# What S3 answers to a conditional put that comes too late.
_TOO_LATE = ("PreconditionFailed", "ConditionalRequestConflict")
# What a store answers that has no such puts, or a library that is older than they are.
_UNKNOWN = ("NotImplemented", "ParamValidationError")


class ObjectStore:
    """What lies below an address.

    Attributes:
      address: Without a slash at its end.
    """

    def __init__(self, address: str):
        """Opens a store; nothing is read yet.

        Raises:
          StoreError: A package for this kind of address is not installed, or there is none.
        """
        self.address = address.rstrip("/")
        try:
            import fsspec
        except ImportError as error:
            raise StoreError(self._not_installed()) from error
        kind = self.address.split("://", 1)[0].lower()
        # Folders of a disk are made as they are needed; in a store there are none.
        options = {"auto_mkdir": True} if kind in ("file", "local") else {}
        self._is_disk, self._is_s3 = bool(options), kind in ("s3", "s3a")
        try:
            with self._errors_named("opened"):
                self._files, self._root = fsspec.core.url_to_fs(
                    self.address, use_listings_cache=False, **options
                )
        except ImportError as error:
            raise StoreError(self._not_installed()) from error
        self._root = self._root.rstrip("/")

    def _not_installed(self) -> str:
        return (
            f"{self.address}: needs packages that are missing; pip install 'audio_triplet[store]'"
        )

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextlib.contextmanager
    def _errors_named(self, done: str, key: str = "") -> Iterator[None]:
        """Whatever a store's library raises becomes one line; but that an object is missing.

        Raises:
          FileNotFoundError: There is no such object, or no such bucket.
          StoreError: Anything else.
        """
        name = f"{self.address}/{key}" if key else self.address
        try:
            yield
        except (FileNotFoundError, StoreError, ImportError, TypeError, AttributeError):
            raise
        except Exception as error:  # each store's library has errors of its own
            if isinstance(error, ValueError) and "Protocol not known" in str(error):
                raise StoreError(
                    f"{name}: no such kind of address is known; s3://BUCKET/NAME and "
                    "gs://BUCKET/NAME are"
                ) from error
            cause = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(
                f"{name}: cannot be {done} ({cause}); check the address, the network and the "
                "credentials, and run the same command again"
            ) from error

    def read(self, key: str) -> bytes:
        """The content of a small object.

        Raises:
          FileNotFoundError: There is none.
          StoreError: It cannot be read.
        """
        with self._errors_named("read", key):
            return self._files.cat_file(self._path(key))

    def fetch(self, key: str, path: str) -> str:
        """Copies an object to a file, whole or not at all.

        Returns:
          The file's SHA-256, hexadecimal.

        Raises:
          FileNotFoundError: There is none.
          StoreError: It cannot be read.
          OSError: The file cannot be written.
        """
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with storage.replacing(path, sync=True) as temporary:
            with self._errors_named("read", key):
                self._files.get_file(self._path(key), temporary)
            return digest_of(temporary)

    def put(self, path: str, key: str) -> None:
        """Copies a file to an object.

        Raises:
          StoreError: It cannot be written.
        """
        with self._writing(key):
            self._files.put_file(path, self._path(key))

    def write(self, key: str, content: bytes) -> None:
        """Writes a small object, whole or not at all.

        Raises:
          StoreError: It cannot be written.
        """
        with self._writing(key):
            if not self._is_disk:
                self._files.pipe_file(self._path(key), content)
                return
            aside = self._path(f"{key}.{secrets.token_hex(6)}.tmp")
            self._files.pipe_file(aside, content)
            os.replace(aside, self._path(key))

    def tag(self, key: str) -> str:
        """What a store calls the present content of an object; empty: there is none, or no tag."""
        if not self._is_s3:
            return ""
        with self._errors_named("read", key), contextlib.suppress(FileNotFoundError):
            return self._files.info(self._path(key)).get("ETag", "")
        return ""

    def write_after(self, key: str, content: bytes, tag: str) -> bool:
        """Writes a small object unless it has changed, where the store can tell: S3 can.

        Args:
          key: The object.
          content: Its new content.
          tag: `tag` of the content that it is to replace.

        Returns:
          False: it has changed, and is as it was.

        Raises:
          StoreError: It cannot be written.
        """
        if not self._is_s3:
            self.write(key, content)
            return True
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        with self._writing(key):
            try:
                self._files.pipe_file(self._path(key), content, **condition)
                return True
            except Exception as error:
                codes = _codes_of(error)
                if codes & {*_TOO_LATE}:
                    return False
                if not codes & {*_UNKNOWN}:
                    raise
        self.write(key, content)
        return True

    def check_writable(self) -> None:
        """Writes a small object and removes it.

        Raises:
          StoreError: That cannot be done.
        """
        key = f"writable-{secrets.token_hex(6)}"
        self.write(key, b"")
        self.remove(key)

    def listing(self) -> set[str]:
        """Names of all objects.

        Raises:
          StoreError: They cannot be listed.
        """
        with self._errors_named("listed"), contextlib.suppress(FileNotFoundError):
            self._files.invalidate_cache()
            start = len(self._root) + 1
            return {path[start:] for path in self._files.find(self._root)}
        return set()

    def age(self, key: str) -> datetime.timedelta | None:
        """How long ago an object was written; None: it is gone, or the store does not tell."""
        try:
            written = self._files.modified(self._path(key))
        except Exception:  # nothing depends on it
            return None
        if written.tzinfo is None:
            written = written.replace(tzinfo=datetime.UTC)
        return datetime.datetime.now(datetime.UTC) - written

    def remove(self, key: str) -> None:
        """Removes an object, if it is there.

        Raises:
          StoreError: It cannot be removed.
        """
        with self._errors_named("removed", key), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(key))

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            with self._errors_named("written", key):
                yield
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.address}: cannot be written ({error}); make the bucket, or check its name"
            ) from error


def at_once(work: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
    """What a function returns for each item, called by several threads; the first error ends it."""
    with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(work, item) for item in items]
        try:
            return [job.result() for job in jobs]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def digest_of(path: str) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _codes_of(error: BaseException) -> set[str]:
    """What S3, or its library, calls an error and its cause."""
    codes = set()
    for one in (error, error.__cause__):
        codes.add(type(one).__name__)
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            codes.add(response.get("Error", {}).get("Code", ""))
    return codes
