"""Words by language: which say nothing, and what their stem is."""

from __future__ import annotations

import threading
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.words import WORD, fold, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGLISH: Final = "english"
NONE: Final = "none"
"""Words are compared as they are, folded; none is a stop word."""

_STEMMED_LINE: Final = (
    "arabic armenian basque catalan czech danish dutch english esperanto estonian finnish french german greek hindi "
    "hungarian indonesian irish italian lithuanian nepali norwegian persian polish portuguese romanian russian serbian "
    "spanish swedish tamil turkish yiddish"
)
STEMMED: Final = frozenset(_STEMMED_LINE.split())
"""Languages the Snowball stemmers know."""
LANGUAGES: Final = STEMMED | {NONE}

_STOP_LINES: Final = {
    # Lucene's
    "english": "a an and are as at be but by for if in into is it no not of on or such that the their then there these "
    "they this to was will with",
    # articles, conjunctions, prepositions and pronouns that every text has; words that may name something stay
    "german": "der die das den dem des ein eine einer eines einem einen und oder aber in im an am auf aus bei mit nach "
    "von vom zu zum zur für über unter durch um ist sind war waren wird werden nicht kein keine es er sie wir ihr ich "
    "du sich als wie auch so dass daß",
    "french": "le la les l un une des du de d et ou mais à au aux en dans sur sous pour par avec sans ce cet cette ces "
    "il elle ils elles on je tu nous vous se s qui que qu ne n pas est sont était être son sa ses leur leurs",
    "spanish": "el la los las lo un una unos unas y o u e pero de del a al en con sin por para sobre entre que se su "
    "sus es son era fue ser no le les este esta estos estas ese esa como más",
    "italian": "il lo la i gli le l un uno una e ed o ma di del dello della dei degli delle a al allo alla ai agli "
    "alle da dal in nel nella con su per tra fra che non è sono era si come questo questa",
    "portuguese": "o a os as um uma uns umas e ou mas de do da dos das em no na nos nas por pelo pela para com sem que "
    "se não é são era ser ao à aos às como este esta isso seu sua",
    "dutch": "de het een en of maar in op aan van voor met bij naar uit door over te is zijn was waren wordt worden "
    "niet geen er die dat dit deze als om ook",
    "swedish": "en ett den det de och eller men i på av för med till från om är var som att inte har hade ej vid",
    "danish": "en et den det de og eller men i på af for med til fra om er var som at ikke har havde ved",
    "norwegian": "en et ei den det de og eller men i på av for med til fra om er var som at ikke har hadde ved",
    "finnish": "ja tai mutta on oli ovat ei se ne että kun kuin myös joka jotka tämä hän",
    "russian": "и в во не на с со что как а но то он она оно они мы вы ты я к ко у за от до по из о об же бы ли для "  # noqa: RUF001
    "это этот эта эти был была было были быть",
}


@cache
def stop_words(language: str) -> frozenset[str]:
    """Folded words that say nothing; empty for a language without a list. They are dropped from queries only."""
    return frozenset(fold(_STOP_LINES.get(language, "")).split())


def without_stop_words(text: str, language: str = ENGLISH) -> str:
    """A query with its stop words blanked out and all else as it was."""
    stops = stop_words(language)
    return WORD.sub(lambda found: " " if fold(found[0]) in stops else found[0], text) if stops else text


def stems(words: Sequence[str], language: str = ENGLISH) -> list[str]:
    """The stem of each lower-case word, in order. Any thread may ask.

    Source: the Snowball algorithms (PyStemmer).
    """
    if language == NONE:
        return list(words)
    found: list[str] = _algorithm(language).stemWords(list(words))
    return found


def terms(text: str, language: str = ENGLISH) -> list[str]:
    """The words of a text in order, as an index compares them: lower case, stemmed, Latin letters without marks.

    English words lose their marks first. Other languages need theirs to be stemmed ("ções", "ssä").
    """
    if language in (ENGLISH, NONE):
        return stems(words_of(text), language)
    return terms_of(WORD.findall(unicodedata.normalize("NFC", text).lower()), language)


def terms_of(words: Sequence[str], language: str = ENGLISH) -> list[str]:
    """What each word of a text is compared as, in order."""
    if language in (ENGLISH, NONE):
        return stems([fold(word) for word in words], language)
    lowered = [unicodedata.normalize("NFC", word).lower() for word in words]
    return [fold(stem) for stem in stems(lowered, language)]


_mine = threading.local()


def _algorithm(language: str) -> Any:
    """This thread's stemmer: one is not safe to share."""
    known = _mine.__dict__.setdefault("stemmers", {})
    if language not in known:
        import Stemmer  # noqa: PLC0415 - loaded when first needed

        known[language] = Stemmer.Stemmer(language)
    return known[language]
