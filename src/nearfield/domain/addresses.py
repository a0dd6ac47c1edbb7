"""Where an engine is: `local` in the data directory, `qdrant+http://10.0.0.5:6333?replication_factor=2` on a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from nearfield.domain.errors import InvalidSetting

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
                f'give it as NEARFIELD_ENGINE_KEYS=\'{{"{name}": "..."}}\'',
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


def is_remote(text: str) -> bool:
    """Whether an address names an engine on a server."""
    return "://" in text
