"""All that can be configured, in one place. Read once, in wiring; below it only plain values travel."""

from __future__ import annotations

import ipaddress
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from nearfield.domain.errors import InvalidSetting
from nearfield.domain.queries import MAX_LIMIT, MAX_OFFSET
from nearfield.domain.reranking import MAX_DEPTH
from nearfield.domain.schema import in_int8

PREFIX = "NEARFIELD_"


def _default_models_dir() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "nearfield" / "models"


class Settings(BaseSettings):
    """Values given in code win over `NEARFIELD_*` variables, which win over the defaults."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(Path("nearfield-data"), description="Folder of the database and the embedded indexes.")
    models_dir: Path = Field(
        default_factory=_default_models_dir, description="Folder where model weights are kept, shared by projects."
    )
    environment: Literal["production", "development", "test"] = Field(
        "production", description="`test` allows the fake `hashing` embedder."
    )
    embedder: str = Field("all-MiniLM-L6-v2", description="Embedder of collections that name none.")
    engine: str = Field("local", description="Engine of collections that name none.")
    engine_keys: dict[str, SecretStr] = Field(
        {}, description="Password or API key by engine name or by address, as a JSON object; never stored."
    )
    runtime: Literal["auto", "openvino", "onnxruntime"] = Field(
        "auto", description="What runs ONNX models; auto is OpenVINO on x86-64 and ONNX Runtime elsewhere."
    )
    precision: Literal["native", "float32", "int8"] = Field(
        "native",
        description="Arithmetic of embedders; native is bfloat16 where the processor has it. int8 is of collections "
        "yet to be made that name no embedder: as if `embedder` ended in `:int8`.",
    )
    threads: NonNegativeInt = Field(0, description="Threads of the embedder; 0 means one per core.")
    reranker: str | None = Field(
        None, description="Cross-encoder (a folder, `<kind>:<model>`) of searches that ask to rerank and name none."
    )
    rerank_depth: Annotated[int, Field(ge=0, le=MAX_DEPTH)] = Field(
        0, description="Candidates every search has scored again unless it says otherwise; 0 means none."
    )
    query_cache_entries: NonNegativeInt = Field(10_000, description="Query embeddings kept in memory.")

    host: str = Field("127.0.0.1", description="Address the service listens on; any but loopback needs api_keys.")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(7700, description="Port the service listens on.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Keys a client may present, separated by commas; none means an open service on loopback."
    )

    max_body_bytes: PositiveInt = Field(64 * 1024 * 1024, description="Bytes of one request body; a stream has none.")
    max_batch_documents: PositiveInt = Field(10_000, description="Documents in one JSON list.")
    max_limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = Field(MAX_LIMIT, description="Hits one search may ask.")
    max_offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = Field(MAX_OFFSET, description="Hits one may skip.")
    max_filter_nodes: PositiveInt = Field(500, description="Conditions in one filter.")
    max_text_length: PositiveInt = Field(1_000_000, description="Characters of one document's embedded text.")

    search_places: NonNegativeInt = Field(
        0, description="Searches under way at once in the service; 0 means 16 for each core."
    )
    search_queue: NonNegativeInt | None = Field(
        None,
        description="Searches that wait for a place before more are refused with 503; four for each place when None.",
    )
    search_timeout_s: PositiveFloat = Field(10.0, description="Seconds for one search, all stages together.")
    wait_timeout_s: PositiveFloat = Field(30.0, description="Seconds a search waits for the changes it asked for.")
    shutdown_timeout_s: PositiveFloat = Field(20.0, description="Seconds given to requests in flight at shutdown.")

    answer_cache_bytes: NonNegativeInt = Field(
        32 * 1024 * 1024, description="Memory for answers to searches that may be asked again; 0 keeps none."
    )
    cursor_bytes: PositiveInt = Field(
        64 * 1024 * 1024, description="Memory for the lists that further pages are cut from, all cursors together."
    )
    cursor_idle_s: PositiveFloat = Field(300.0, description="Seconds a cursor lives after its last use.")

    index_batch: PositiveInt = Field(1_024, description="Changes applied to an index between two watermarks.")
    build_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the time an index beside the live one may work while it is filled; more where "
        "writes would outrun it.",
    )
    optimize_after: PositiveInt = Field(
        20_000, description="Unindexed rows, at least, before an index is optimised in the background."
    )

    suggest_past_queries: bool = Field(
        True, description="Suggest to everybody what several searches asked; false keeps no query for suggestions."
    )
    events_keep_days: PositiveInt = Field(90, description="Days that what searches showed and clicks are kept.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")
    log_format: Literal["text", "json"] = Field("text", description="Form of a log line.")

    _in_code: frozenset[str] = PrivateAttr(default=frozenset())

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._in_code = frozenset(given)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @property
    def default_embedder(self) -> str:
        """Embedder of collections that name none: `embedder`, in int8 where `precision` says so."""
        return in_int8(self.embedder) if self.precision == "int8" else self.embedder

    @property
    def float_precision(self) -> Literal["native", "float32"]:
        """Arithmetic of models whose name does not say int8."""
        return "native" if self.precision == "int8" else self.precision

    def origin(self, name: str) -> str:
        """Where a setting's value comes from: `given` in code or by a flag, its variable's name, or `default`."""
        if name in self._in_code:
            return "given"
        return (_variable(name) or "given") if name in self.model_fields_set else "default"

    def check_exposure(self, host: str | None = None) -> None:
        """Raise InvalidSetting when `host` (default: the setting) is reachable from outside and no API key is set."""
        host = self.host if host is None else host
        if self.api_keys or _is_loopback(host):
            return
        raise InvalidSetting(
            f"host {host} is reachable from other machines and no API key is set; "
            f"set {PREFIX}API_KEYS or listen on 127.0.0.1",
            field="host",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**given: Any) -> Settings:
    """Settings from the environment and from values given in code (None means not given).

    Raises InvalidSetting for an unknown NEARFIELD_* variable, an unknown name, or an impossible value.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            near = get_close_matches(variable.upper(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `nearfield config` lists the known ones"
            raise InvalidSetting(f"unknown setting {variable}{hint}", field=variable)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidSetting(f"setting {name}: {first['msg'].lower()}", field=name) from exc


def settings_with_origin(settings: Settings) -> list[tuple[str, str, str, str]]:
    """(name, value shown, origin, description) of each setting; secrets are counted, never shown."""
    rows = []
    for name, info in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = f"{len(value)} set" if name == "api_keys" else str(value)
        rows.append((name, shown, settings.origin(name), info.description or ""))
    return rows


def _variable(name: str) -> str | None:
    wanted = PREFIX + name.upper()
    return next((variable for variable in os.environ if variable.upper() == wanted), None)
