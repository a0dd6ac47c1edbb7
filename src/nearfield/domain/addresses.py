"""Where an engine is: `local` in the data directory, `qdrant+http://10.0.0.5:6333?replication_factor=2` on a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from nearfield.domain.errors import InvalidSetting
from nearfield.domain.servers import key_setting

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """An engine as a collection, a command or a setting names it: `NAME`, or `NAME+URL?option=value`.

    name: the engine's entry point. url: None for an engine inside the process; never holds a password or an option.
    options: what the engine is to be told beside, each claimed in its capabilities.
    """

    name: str
    url: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> EngineAddress:
        """Read an address. Raises InvalidSetting naming `engine`; the message never repeats a password."""
        if "://" not in text:
            if not text.replace("-", "").replace("_", "").isalnum():
                raise InvalidSetting(f"engine {text!r} is neither a name nor NAME+URL", field="engine")
            return cls(text)
        name, plus, url = text.partition("+")
        if not plus or "://" in name:
            raise InvalidSetting("engine is a URL without an engine's name; write NAME+URL", field="engine")
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
            has_password, _ = parts.password is not None, parts.port
        except ValueError as exc:
            raise InvalidSetting(f"engine {name}: the URL cannot be read: {exc}", field="engine") from None
        if has_password:
            raise InvalidSetting(
                f"engine {name}: the URL holds a password, which would be stored and shown; "
                f"give it as {key_setting(name)}",
                field="engine",
            )
        if not parts.hostname and parts.scheme != "file":
            raise InvalidSetting(f"engine {name}: the URL names no host", field="engine")
        options = dict(pairs)
        if len(options) < len(pairs):
            raise InvalidSetting(f"engine {name}: an option is given twice", field="engine")
        bare = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        return cls(name, bare, MappingProxyType(options))

    def __str__(self) -> str:
        if self.url is None:
            return self.name
        asked = "&".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.name}+{self.url}" + (f"?{asked}" if asked else "")


_STORE: Final = re.compile(r"([a-z][a-z0-9_-]*)\+([a-z]+):(?=.)", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Another store that documents are imported from: `NAME+URL?option=value`, or `NAME+file:PATH?option=value`.

    name: of the kind of store. scheme: of the URL. url: without options, for a server. path: of a file or folder, as it
    was written, None for a server.
    """

    name: str
    scheme: str
    url: str
    path: Path | None
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> StoreAddress:
        """Read an address. Raises InvalidSetting; the message never repeats a password."""
        found = _STORE.match(text)
        if found is None:
            raise InvalidSetting(
                "a store is written NAME+URL?option=value or NAME+file:PATH?option=value", field="store"
            )
        name, scheme = found.groups()
        if scheme != "file":
            read = EngineAddress.parse(text)
            return cls(name, scheme, read.url or "", None, read.options)
        path, _, query = text[found.end() :].partition("?")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as exc:
            raise InvalidSetting(f"store {name}: the options cannot be read: {exc}", field="store") from None
        if len(dict(pairs)) < len(pairs):
            raise InvalidSetting(f"store {name}: an option is given twice", field="store")
        if path.startswith("//"):  # file:///path, whose host is empty
            path = "/" + path.removeprefix("//").lstrip("/")
        return cls(name, scheme, "", Path(unquote(path)), MappingProxyType(dict(pairs)))


def names_store(text: str) -> bool:
    """Whether a text is meant as the address of a store rather than as the name of a file."""
    return bool(_STORE.match(text)) or "://" in text


def is_remote(text: str) -> bool:
    """Whether an address names an engine on a server."""
    return "://" in text
