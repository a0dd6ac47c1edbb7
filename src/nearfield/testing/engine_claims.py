"""What an engine says of itself, statement by statement, and which of the suite's tests show each.

A statement is a claim or a refusal. docs/engines.md is made of these and of the record of real runs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nearfield.domain import filters
from nearfield.domain.languages import LANGUAGES
from nearfield.domain.schema import IndexKind, Metric, Quantization
from nearfield.testing.engine_suite import EngineSuite

if TYPE_CHECKING:
    from nearfield.protocols.engine import EngineCapabilities

FILTERS: Final = tuple(
    node
    for node in vars(filters).values()
    if isinstance(node, type) and issubclass(node, filters.Filter) and node is not filters.Filter
)
"""Every node of a filter, in the order in which they are written down."""

PROCESS, SERVER = "in the process", "on a server"


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing an engine can or cannot do.

    about: what, in words. claimed: whether it says that it can. tests: names within the suite, with their parameters;
    all of them have to pass to show the statement, be it a claim or a refusal. place: where they have to run, PROCESS
    or SERVER, "" for either. value: the number, where the claim is one.
    """

    about: str
    claimed: bool
    tests: tuple[str, ...]
    place: str = ""
    value: str = ""


def statements(capabilities: EngineCapabilities) -> list[Statement]:
    """Everything that `capabilities` say, in the order of a table's rows."""
    return [
        *(Statement(f"metric {m}", m in capabilities.metrics, (f"test_metric[{m}]",)) for m in Metric),
        *(
            Statement(
                f"{kind}, {code}" if code is not Quantization.NONE else kind,
                kind in capabilities.kinds and code in coded(capabilities, kind),
                (f"test_kind_and_quantization[{kind}-{code}]",),
            )
            for kind in IndexKind
            for code in Quantization
        ),
        *(Statement(f"filter {node.__name__}", node in capabilities.filters, (_FILTERS,)) for node in FILTERS),
        Statement("words", capabilities.lexical, ("test_words", "test_ties_go_to_the_lower_key")),
        Statement("words in other languages", capabilities.lexical and len(capabilities.languages) > 1, _LANGUAGES),
        Statement("exact search on request", capabilities.exact, ("test_exact_search_is_given_or_refused",)),
        Statement("effort per query", capabilities.effort, ("test_effort",)),
        *([Statement("survives kill -9 after a flush", True, _DURABLE)] if capabilities.durable else []),
        Statement("hits at most", True, _HITS, value=f"{capabilities.max_hits:,}"),
        Statement("dimensions at most", True, _DIMENSIONS, value=f"{capabilities.max_dimension:,}"),
        *(
            Statement(place, True, ("test_metric[cosine]", "test_deleted_rows_are_gone"), place)
            for place, claimed in ((PROCESS, capabilities.embedded), (SERVER, capabilities.remote))
            if claimed
        ),
    ]


def coded(capabilities: EngineCapabilities, kind: IndexKind) -> frozenset[Quantization]:
    """The quantizations claimed for a kind; one that names none has `none`."""
    return capabilities.quantizations.get(kind, frozenset({Quantization.NONE}))


def mark_of(capabilities: EngineCapabilities) -> str:
    """Twelve hex digits of everything stated: another when a claim is made or withdrawn."""
    said = [f"{statement.about}: {statement.claimed} {statement.value}" for statement in statements(capabilities)]
    return _digits([*said, *sorted(capabilities.languages)])


def suite_mark() -> str:
    """Twelve hex digits of the names of the suite's tests."""
    return _digits(suite_tests())


def suite_tests() -> list[str]:
    """The names of the suite's tests, without parameters."""
    return sorted(name for name in dir(EngineSuite) if name.startswith("test_"))


def _digits(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


_LANGUAGES: Final = tuple(f"test_a_language_is_stemmed_or_refused[{one}]" for one in sorted(LANGUAGES))
_HITS: Final = ("test_as_many_hits_as_claimed_may_be_asked",)
_FILTERS: Final = "test_filters_are_honoured_or_refused"
_DURABLE: Final = ("test_what_was_flushed_survives_a_kill", "test_opened_again_it_answers_the_same")
_DIMENSIONS: Final = ("test_as_many_dimensions_as_claimed_are_held", "test_too_many_dimensions_are_refused")
