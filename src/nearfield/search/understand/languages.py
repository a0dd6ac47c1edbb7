"""Names of languages for the codes that documents hold (ISO 639-1, and 639-3 where films are often in it)."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final[dict[str, tuple[str, ...]]] = {
    "ar": ("arabic",), "bg": ("bulgarian",), "bn": ("bengali",), "ca": ("catalan",), "cn": ("cantonese",),
    "cs": ("czech",), "da": ("danish",), "de": ("german",), "el": ("greek",), "en": ("english",), "es": ("spanish",),
    "et": ("estonian",), "fa": ("persian", "farsi"), "fi": ("finnish",), "fr": ("french",), "he": ("hebrew",),
    "hi": ("hindi",), "hr": ("croatian",), "hu": ("hungarian",), "id": ("indonesian",), "is": ("icelandic",),
    "it": ("italian",), "ja": ("japanese",), "ko": ("korean",), "lt": ("lithuanian",), "lv": ("latvian",),
    "ml": ("malayalam",), "nl": ("dutch",), "no": ("norwegian",), "pl": ("polish",), "pt": ("portuguese",),
    "ro": ("romanian",), "ru": ("russian",), "sk": ("slovak",), "sl": ("slovenian",), "sr": ("serbian",),
    "sv": ("swedish",), "ta": ("tamil",), "te": ("telugu",), "th": ("thai",), "tr": ("turkish",),
    "uk": ("ukrainian",), "ur": ("urdu",), "vi": ("vietnamese",), "yue": ("cantonese",),
    "zh": ("chinese", "mandarin"),
}  # fmt: skip
"""By code."""
