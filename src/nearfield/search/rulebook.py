"""The rules of collections: kept in the store, held in memory as searches need them, effective as soon as written."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from nearfield.domain.errors import DocumentNotFound, InvalidRequest
from nearfield.domain.rules import Condition, Expander, Hide, Pin, Rules, RulesVersion, When, words_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nearfield.domain.collections import Collection
    from nearfield.protocols.store import Store

KEPT_VERSIONS: Final = 100
"""Of a collection; older ones are removed when a new one is written."""

Curation = TypeVar("Curation", Pin, Hide)
Words = tuple[str, ...]


class Conditions:
    """Finds which of many conditions a query meets, in time that grows with the query and not with their number."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._always: list[int] = []
        self._whole: dict[Words, list[int]] = defaultdict(list)
        self._inside: dict[str, list[tuple[Words, int]]] = defaultdict(list)
        self._begun: dict[tuple[Words, str], list[int]] = defaultdict(list)
        self._prefix_words: set[int] = set()
        for place, condition in enumerate(conditions):
            own = words_of(condition.query or "")
            match condition.when:
                case When.ALWAYS:
                    self._always.append(place)
                case When.IS:
                    self._whole[own].append(place)
                case When.CONTAINS:
                    self._inside[own[0]].append((own, place))
                case When.PREFIX:
                    self._begun[own[:-1], own[-1]].append(place)
                    self._prefix_words.add(len(own))

    def met(self, words: Words) -> list[int]:
        """The places of the conditions met, in order."""
        found = [*self._always, *self._whole.get(words, ())]
        for at, word in enumerate(words):
            found += [place for own, place in self._inside.get(word, ()) if words[at : at + len(own)] == own]
        for length in self._prefix_words:
            if length <= len(words):
                *before, last = words[:length]
                for end in range(1, len(last) + 1):
                    found += self._begun.get((tuple(before), last[:end]), ())
        return sorted(set(found))


@dataclass(frozen=True, slots=True, eq=False)
class RulesInForce:
    """One version, made ready for searches."""

    version: RulesVersion
    synonyms: Expander
    pins: Conditions
    hides: Conditions

    @classmethod
    def of(cls, version: RulesVersion) -> RulesInForce:
        """Takes some 60 ms for 5,000 rules of each kind: call it in a thread."""
        rules = version.rules
        return cls(
            version,
            Expander(rules.synonyms),
            Conditions([one.condition for one in rules.pins]),
            Conditions([one.condition for one in rules.hides]),
        )

    def pinned(self, words: Words) -> list[Pin]:
        return [self.version.rules.pins[place] for place in self.pins.met(words)]

    def hidden(self, words: Words) -> list[str]:
        """Document ids, each once."""
        found = [self.version.rules.hides[place].ids for place in self.hides.met(words)]
        return list(dict.fromkeys(id for ids in found for id in ids))  # noqa: A001 - the field's own word


class RuleBook:
    """Reads and writes the rules of collections. One per process, for all of them."""

    def __init__(self, store: Store, collection: Callable[[str], Awaitable[Collection]]) -> None:
        self._store, self._collection = store, collection
        self._held: dict[int, RulesInForce] = {}  # by collection id, which is never used again

    def held(self, collection: Collection) -> RulesInForce | None:
        """What is in memory; None where nobody asked yet."""
        return self._held.get(collection.id)

    async def in_force(self, collection: Collection) -> RulesInForce:
        """The latest rules; read from the store the first time."""
        held = self._held.get(collection.id)
        if held is None:
            held = await self._hold(collection, await self._store.rules(collection))
        return held

    async def keys(self, collection: Collection, ids: Sequence[str]) -> list[int]:
        """The keys of those of some documents that exist."""
        return [document.key for document in (await self._store.by_id(collection, ids)).values()]

    async def read(self, name: str, version: int | None = None) -> RulesVersion:
        """The latest rules, or an earlier version. Raises CollectionNotFound, InvalidRequest for one not kept."""
        collection = await self._collection(name)
        if version is None:
            return (await self.in_force(collection)).version
        found = await self._store.rules(collection, version)
        if found.version != version:
            raise InvalidRequest(f"no version {version} of the rules of {name} is kept", field="version")
        return found

    async def write(self, name: str, rules: Rules, *, restored_from: int | None = None) -> RulesVersion:
        """Put rules in place of all there were, as a new version: effective for every search that starts after this.

        Raises CollectionNotFound, DocumentNotFound for a pinned document that does not exist, naming its place.
        """
        collection = await self._collection(name)
        places = rules.ids()
        there = await self._store.by_id(collection, list(places)) if places else {}
        for pinned, place in places.items():
            if pinned not in there and restored_from is None:
                raise DocumentNotFound(f"no document {pinned!r} in {name}; a pinned one must exist", field=place)
        written = await self._store.put_rules(collection, rules, restored_from=restored_from, keep=KEPT_VERSIONS)
        await self._hold(collection, written)
        return written

    async def restore(self, name: str, version: int) -> RulesVersion:
        """Write an earlier version again, as a new one. Documents it pins that are gone meanwhile are passed over."""
        earlier = await self.read(name, version)
        return await self.write(name, earlier.rules, restored_from=version)

    async def history(self, name: str) -> list[RulesVersion]:
        """The versions kept, latest first; at most KEPT_VERSIONS."""
        return await self._store.rules_history(await self._collection(name))

    async def _hold(self, collection: Collection, version: RulesVersion) -> RulesInForce:
        made = await asyncio.to_thread(RulesInForce.of, version)
        held = self._held.get(collection.id)
        # of two writes at once, the later version wins, whichever is ready first
        if held is None or held.version.version <= version.version:
            self._held[collection.id] = held = made
        return held
