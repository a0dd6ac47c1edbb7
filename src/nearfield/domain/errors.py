"""Every error Nearfield raises on purpose, one tree.

`code` is stable for ever: clients match on it, never on the message. `retryable` says that the same request may
succeed later. HTTP status codes are given in `api/problems.py` and nowhere else.
"""

from __future__ import annotations

from typing import ClassVar


class NearfieldError(Exception):
    """The root. Raised itself only for a defect of ours.

    field: the part of the request at fault, as the caller wrote it (`filter.price`, `documents[3].id`), or None.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CallerError(NearfieldError):
    """The request must be changed; sending it again cannot help."""

    code = "invalid_request"


class InvalidRequest(CallerError):
    """A search, or another request, that says something impossible."""

    code = "invalid_request"


class InvalidDocument(CallerError):
    """One document that cannot be taken in: a wrong type, no id, nothing to embed."""

    code = "invalid_document"


class InvalidSchema(CallerError):
    """A collection's fields, template or index settings contradict themselves."""

    code = "invalid_schema"


class InvalidFilter(CallerError):
    """A filter with an unknown field or operator, a value of the wrong type, or bad syntax."""

    code = "invalid_filter"


class InvalidVector(CallerError):
    """A vector with a NaN, an infinity, or no length at all."""

    code = "invalid_vector"


class DimensionMismatch(InvalidVector):
    """A vector of another dimension than the collection's."""

    code = "dimension_mismatch"


class InvalidSetting(CallerError):
    """A setting, option or environment variable that does not exist or has an impossible value."""

    code = "invalid_setting"


class InvalidFile(CallerError):
    """A file that cannot be read at all: not there, not of its kind, damaged. One bad row is never this."""

    code = "invalid_file"


class InvalidCursor(CallerError):
    """A cursor that no answer gave, or one of another search than what is sent beside it."""

    code = "invalid_cursor"


class CursorExpired(CallerError):
    """A cursor whose list is kept no more; the search has to be begun anew."""

    code = "cursor_expired"


class CollectionNotFound(CallerError):
    """No collection of that name."""

    code = "collection_not_found"


class CollectionConflict(CallerError):
    """A collection of that name exists with other settings."""

    code = "collection_conflict"


class GenerationNotFound(CallerError):
    """The collection has no generation of that number beside its live one, or none to go back to."""

    code = "generation_not_found"


class GenerationNotReady(CallerError):
    """A generation whose verification was not made, or did not hold. It does not go live."""

    code = "generation_not_ready"


class MoveUnderWay(CallerError):
    """Another generation of the collection is being filled; finish that move first, or drop the generation."""

    code = "move_under_way"


class DocumentNotFound(CallerError):
    """No document of that id in the collection."""

    code = "document_not_found"


class TooLarge(CallerError):
    """More than a limit allows; the message names the limit and its setting."""

    code = "too_large"


class UnsupportedByEngine(CallerError):
    """The engine does not claim this capability. What is not claimed is refused, never ignored."""

    code = "unsupported_by_engine"


class ModelUnknown(CallerError):
    """Neither a known model name nor a folder that holds one."""

    code = "model_unknown"


class Unauthorized(CallerError):
    """No API key, or not a valid one."""

    code = "unauthorized"


class MissingDependency(CallerError):
    """An optional part that is not installed; the message holds the command that installs it."""

    code = "missing_dependency"


class DataDirInUse(CallerError):
    """Another process has the data directory open."""

    code = "data_dir_in_use"


class ModelDamaged(NearfieldError):
    """A weights file whose hash is not the pinned one. It is not opened."""

    code = "model_damaged"


class ModelUnreachable(NearfieldError):
    """The weights are not on disk and no source of them answered."""

    code = "model_unreachable"
    retryable = True


class IndexDamaged(NearfieldError):
    """An engine's files cannot be opened. The truth is in the store: the index can be rebuilt."""

    code = "index_damaged"


class IndexMissing(IndexDamaged):
    """The engine holds no index of that name."""

    code = "index_missing"


class EngineUnavailable(NearfieldError):
    """The vector engine did not answer, or answered with a failure of its own."""

    code = "engine_unavailable"
    retryable = True


class EmbedderUnavailable(NearfieldError):
    """The embedder did not answer, or answered with a failure of its own."""

    code = "embedder_unavailable"
    retryable = True


class RerankerUnavailable(NearfieldError):
    """The reranker did not answer, or answered with a failure of its own."""

    code = "reranker_unavailable"
    retryable = True


class StoreUnavailable(NearfieldError):
    """The database did not answer, or refused the transaction."""

    code = "store_unavailable"
    retryable = True


class DiskFull(NearfieldError):
    """A write failed for want of space. Nothing of it was acknowledged."""

    code = "disk_full"
    retryable = True


class IndexLagging(NearfieldError):
    """The index did not reach `min_seq` within the time allowed."""

    code = "index_lagging"
    retryable = True


class TimedOut(NearfieldError):
    """The request ran longer than its limit and was abandoned."""

    code = "timed_out"
    retryable = True


class Overloaded(NearfieldError):
    """More requests wait than the queue holds.

    retry_after_s: whole seconds, at least 1, after which it is worth trying again.
    """

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, *, field: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, field=field)
        self.retry_after_s = retry_after_s


class ShuttingDown(NearfieldError):
    """The process finishes what it accepted and takes nothing new."""

    code = "shutting_down"
    retryable = True
