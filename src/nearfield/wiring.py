"""Settings → running parts. The only file, with the shipped test suites, that names concrete classes."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock, Timeout

from nearfield.domain.addresses import EngineAddress, StoreAddress, names_store
from nearfield.domain.errors import (
    DataDirInUse,
    EmbedderUnavailable,
    EngineUnavailable,
    InvalidRequest,
    InvalidSetting,
    ModelUnknown,
    NearfieldError,
    ShuttingDown,
    UnsupportedByEngine,
)
from nearfield.domain.reranking import Rerank
from nearfield.domain.schema import GIVEN_VECTORS, INT8, IndexKind, Metric, Quantization, in_int8
from nearfield.engines.beside import WithWords
from nearfield.engines.reached import Reached
from nearfield.indexing.catalog import Catalog
from nearfield.indexing.chunking import Chunker
from nearfield.indexing.documents import Documents
from nearfield.indexing.generations import Generations
from nearfield.indexing.moves import Moves
from nearfield.moving import Moving
from nearfield.protocols.engine import check_address
from nearfield.protocols.reranker import FoundModel, RerankerPlace, named_kind
from nearfield.quality.feedback import Feedback
from nearfield.quality.impressions import Impressions
from nearfield.quality.service import Quality
from nearfield.quality.shadow import Shadows
from nearfield.search.answer_cache import AnswerCache
from nearfield.search.completions import PastQueries
from nearfield.search.cursors import Cursors
from nearfield.search.highlight import Highlighter
from nearfield.search.lexicons import Lexicons
from nearfield.search.rerank import Reranking
from nearfield.search.rulebook import RuleBook
from nearfield.search.service import SearchService
from nearfield.search.stages import reordering, rules_reader
from nearfield.search.suggest import Suggester
from nearfield.search.understanding import Understanding
from nearfield.search.wording import Wording
from nearfield.sources.files import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pydantic import SecretStr

    from nearfield.domain.collections import Collection
    from nearfield.indexing.opening import OpenGeneration
    from nearfield.models.shelf import Shelf, ShelfEntry
    from nearfield.models.source import Transfer
    from nearfield.protocols.embedder import Embedder
    from nearfield.protocols.engine import EmbeddedEngine, EngineCapabilities, EngineKind, RemoteEngine, VectorEngine
    from nearfield.protocols.live import LiveIndex
    from nearfield.protocols.reranker import Reranker, RerankerKind
    from nearfield.protocols.source import Source
    from nearfield.protocols.store import Store
    from nearfield.search.work import Work
    from nearfield.settings import Settings

log = logging.getLogger("nearfield")

ENGINE_GROUP = "nearfield.engines"
MAX_RERANKERS = 4  # each holds its weights in memory, and any search may name one
RERANKER_GROUP = "nearfield.rerankers"
SENTENCE_TRANSFORMERS_PREFIX = "sentence-transformers:"


# -- engines -----------------------------------------------------------------------------------------------------------
def engine_class(name: str) -> type[EngineKind]:
    """The engine of an entry point's name. Raises UnsupportedByEngine naming those installed."""
    found = {entry.name: entry for entry in entry_points(group=ENGINE_GROUP)}
    if name not in found:
        raise UnsupportedByEngine(
            f"no engine {name!r} is installed; installed are {', '.join(sorted(found))}", field="engine"
        )
    loaded: type[EngineKind] = found[name].load()
    return loaded


def engine_capabilities() -> dict[str, EngineCapabilities]:
    """What each installed engine claims, by name, without connecting to any."""
    names = sorted(entry.name for entry in entry_points(group=ENGINE_GROUP))
    return {name: engine_class(name).capabilities for name in names}


class EnginePool:
    """One engine object per address: over a folder of its own in the data directory, or on a server."""

    def __init__(self, data_dir: Path, keys: Mapping[str, SecretStr]) -> None:
        self._folder, self._keys = data_dir / "engines", keys
        self._installation = data_dir / "installation"
        self._engines: dict[str, VectorEngine] = {}
        self._servers: dict[str, Reached] = {}
        self._words: VectorEngine | None = None

    def get(self, text: str) -> VectorEngine:
        """The engine of an address. Raises UnsupportedByEngine, InvalidSetting, MissingDependency."""
        if text not in self._engines:
            address = EngineAddress.parse(text)
            kind = engine_class(address.name)
            check_address(kind.capabilities, address)
            if address.url is None:
                engine = cast("type[EmbeddedEngine]", kind).at(self._folder / address.name)
                lacking = not kind.capabilities.lexical
                self._engines[text] = self._with_words(engine) if lacking else engine
            else:
                key = self._keys.get(f"{address.name}+{address.url}") or self._keys.get(address.name)
                server = cast("type[RemoteEngine]", kind).reach(
                    address, prefix=self._prefix(), key=None if key is None else key.get_secret_value()
                )
                reached = self._servers[text] = Reached(server)
                self._engines[text] = self._with_words(reached)
        return self._engines[text]

    def errors(self) -> dict[str, str | None]:
        """Why each server in use does not answer, by its address; None where it does."""
        return {address: server.error for address, server in self._servers.items()}

    def _with_words(self, engine: VectorEngine) -> VectorEngine:
        """The engine with words beside it, for indexes that need them.

        Of 100,000 listings zvec searches them in 0.8 ms (p50, 34 MB on disk, opened in 0.2 s); `exact` would in 26 ms
        (11 MB, opened in 11 s).
        """
        from nearfield.engines.local import LocalEngine

        if self._words is None:
            self._words = LocalEngine.at(self._folder.parent / "words")
        return WithWords(engine, self._words, self._folder.parent / "words")

    def _prefix(self) -> str:
        """Two data directories on one server must not take each other's indexes, both of which begin with `c1_g1`."""
        if not self._installation.exists():
            self._installation.write_text(secrets.token_hex(4))
        return f"nearfield_{self._installation.read_text()}_"

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()
        if self._words is not None:
            await self._words.close()


# -- embedders ---------------------------------------------------------------------------------------------------------
class EmbedderPool:
    """One embedder per name, wrapped, shared by every collection that uses it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedders: dict[str, Embedder] = {}
        self._lock = asyncio.Lock()
        self._beginning: asyncio.Task[None] | None = None

    def begin(self, name: str) -> None:
        """Begin to load an embedder that will be asked for. What fails is told to who asks."""

        async def load() -> None:
            with suppress(NearfieldError):
                await (await self.get(name)).warm()

        self._beginning = asyncio.create_task(load(), name=f"loading {name}")

    async def get(self, name: str) -> Embedder:
        """Build an embedder when first asked for; its weights are fetched then if they are not on disk.

        Raises ModelUnknown, ModelUnreachable, ModelDamaged, MissingDependency, InvalidSetting.
        """
        async with self._lock:
            if name not in self._embedders:
                self._embedders[name] = await asyncio.to_thread(build_embedder, name, self._settings)
            return self._embedders[name]

    async def close(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            await asyncio.wait({self._beginning})
        for embedder in self._embedders.values():
            await embedder.close()


def build_embedder(name: str, settings: Settings) -> Embedder:
    """The embedder of a name. Blocks; fetches weights that are not on disk.

    name: a known model or a local folder, either with `:int8` after it; `sentence-transformers:<model>`,
    `vectors:<dimension>`, or `hashing` (tests).
    Queries are batched across concurrent requests and their vectors kept; documents go straight through.
    Raises ModelUnknown, ModelUnreachable, ModelDamaged, MissingDependency, InvalidSetting.
    """
    if name.startswith(GIVEN_VECTORS):
        from nearfield.embedders.given import GivenVectors

        return GivenVectors.named(name)
    if name == "hashing":
        return _hashing(settings)
    from nearfield.embedders.batching import BatchingEmbedder
    from nearfield.embedders.cached import CachedEmbedder

    return CachedEmbedder(BatchingEmbedder(bare_embedder(name, settings)), entries=settings.query_cache_entries)


def bare_embedder(name: str, settings: Settings) -> Embedder:
    """The embedder of a model, without wrappers. See `build_embedder`."""
    if name.startswith(SENTENCE_TRANSFORMERS_PREFIX):
        return _sentence_transformers(name.removeprefix(SENTENCE_TRANSFORMERS_PREFIX))
    model = name.removesuffix(INT8)
    weights = model_shelf(settings).weights(model)
    if model != name and weights.kind != "onnx":
        raise InvalidSetting(f"{name}: int8 is for models with an ONNX graph; {model} has none", field="embedder")
    if model != name and weights.ranges is None:
        known = ", ".join(entry.model.name for entry in model_catalogue(settings) if entry.model.ranges is not None)
        raise InvalidSetting(
            f"{name}: what int8 needs is not known of {model}; known models with it: {known}, and folders with an "
            "int8.npz in them",
            field="embedder",
        )
    match weights.kind:
        case "onnx":
            from nearfield.embedders.onnx import OnnxEmbedder

            return OnnxEmbedder(
                weights.folder,
                name=weights.name if model == name else in_int8(weights.name),
                digest=weights.digest,
                runtime=settings.runtime,
                precision=settings.float_precision,
                threads=settings.threads,
                cache_dir=settings.models_dir / "compiled",
                ranges=None if model == name else weights.ranges,
            )
        case "static":
            from nearfield.embedders.static import StaticEmbedder

            return StaticEmbedder(weights.folder, name=weights.name, digest=weights.digest)
        case "sentence-transformers":
            return _sentence_transformers(str(weights.folder))


def _sentence_transformers(model: str) -> Embedder:
    from nearfield.embedders.sentence_transformers import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(model)


def _hashing(settings: Settings) -> Embedder:
    from nearfield.embedders.hashing import HashingEmbedder

    if settings.environment != "test":
        raise InvalidSetting(
            "embedder hashing is a fake for tests and knows no meaning; set NEARFIELD_ENVIRONMENT=test to use it, "
            "or name a real model (`nearfield model list`)",
            field="embedder",
        )
    return HashingEmbedder()


def model_shelf(settings: Settings) -> Shelf:
    """The folder of weights."""
    from nearfield.models.shelf import Shelf

    return Shelf(settings.models_dir)


def model_catalogue(settings: Settings) -> list[ShelfEntry]:
    """Every model known by name, and whether its weights are on disk."""
    return model_shelf(settings).listing()


def pull_model(settings: Settings, name: str, on_progress: Callable[[Transfer], None] | None = None) -> Path:
    """Fetch a model's weights and check them; the folder they are in. Blocks.

    Raises ModelUnknown, ModelUnreachable, ModelDamaged, DiskFull.
    """
    shelf = model_shelf(settings)
    weights = shelf.weights(name) if on_progress is None else shelf.weights(name, report=on_progress)
    return weights.folder


def open_files(paths: Iterable[str | Path]) -> list[Source]:
    """A source per file. Raises InvalidFile."""
    return [open_source(path) for path in paths]


def open_sources(given: Iterable[str], settings: Settings) -> list[Source]:
    """A source per file, or per address of another store. Raises InvalidFile, InvalidSetting, MissingDependency."""
    from nearfield.sources.stores import open_store

    def key(address: StoreAddress) -> str | None:
        keys = settings.engine_keys
        found = keys.get(f"{address.name}+{address.url}") or keys.get(address.name)
        return None if found is None else found.get_secret_value()

    return [open_store(one, key) if names_store(one) else open_source(one) for one in given]


# -- rerankers ---------------------------------------------------------------------------------------------------------
class RerankerPool:
    """One reranker per name, shared by every search."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rerankers: dict[str, Reranker] = {}
        self._lock = asyncio.Lock()

    async def get(self, name: str) -> Reranker:
        """Build a reranker when first asked for. Raises ModelUnknown, InvalidFile, MissingDependency."""
        found = self._rerankers.get(name)
        if found is None:
            async with self._lock:
                if name not in self._rerankers:
                    if len(self._rerankers) == MAX_RERANKERS:
                        raise InvalidRequest(
                            f"{MAX_RERANKERS} rerankers are open: {', '.join(self._rerankers)}; use one of them",
                            field="rerank.model",
                        )
                    self._rerankers[name] = await asyncio.to_thread(build_reranker, name, self._settings)
                found = self._rerankers[name]
        return found

    async def close(self) -> None:
        for reranker in self._rerankers.values():
            await reranker.close()


def build_reranker(name: str, settings: Settings) -> Reranker:
    """The reranker of a name: a folder of a cross-encoder, or `<entry point>:<model>`. Blocks.

    Raises ModelUnknown, InvalidFile, MissingDependency.
    """
    kind, model = named_kind(name)
    place = RerankerPlace(
        find=partial(_cross_encoder_files, settings),
        runtime=settings.runtime,
        precision=settings.float_precision,
        threads=settings.threads,
        cache_dir=settings.models_dir / "compiled",
    )
    if kind is None:
        from nearfield.rerankers.cross_encoder import CrossEncoder

        return CrossEncoder.open(model, place)
    found = {entry.name: entry for entry in entry_points(group=RERANKER_GROUP)}
    if kind not in found:
        installed = ", ".join(sorted(found)) or "none"
        raise ModelUnknown(f"no reranker kind {kind!r} is installed; installed: {installed}", field="rerank.model")
    loaded: RerankerKind = found[kind].load()
    return loaded.open(model, place)


def _cross_encoder_files(settings: Settings, name: str) -> FoundModel:
    """A model's folder; none is ever fetched for a search. Raises ModelUnknown."""
    from nearfield.models.catalogue import known_model

    if known_model(name) is not None:
        raise ModelUnknown(f"{name} is an embedder and no cross-encoder; give the folder of one", field="rerank.model")
    try:
        weights = model_shelf(settings).weights(name)
    except ModelUnknown as exc:
        raise ModelUnknown(
            f"no reranker {name!r}: expected the folder of a cross-encoder, with model.onnx, tokenizer.json and "
            "config.json in it",
            field="rerank.model",
        ) from exc
    return FoundModel(weights.name, weights.folder, weights.digest)


def _passages(work: Work, texts: Sequence[str]) -> list[list[str]]:
    """Texts cut as they were when they were embedded."""
    return Chunker(work.live.embedder).split(texts)


# -- the whole ---------------------------------------------------------------------------------------------------------
@dataclass(slots=True, eq=False)
class Backend:
    """All running parts over one data directory."""

    settings: Settings
    store: Store
    catalog: Catalog
    documents: Documents
    searches: SearchService
    suggester: Suggester
    rules: RuleBook
    embedders: EmbedderPool
    generations: Generations
    engines: EnginePool
    moves: Moves
    moving: Moving
    quality: Quality
    feedback: Feedback
    _stack: AsyncExitStack
    _warm: bool = False
    _closed: bool = False
    _loading: asyncio.Task[None] | None = None

    def with_defaults(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A collection's JSON body with what it does not name: the settings' embedder and engine, that engine's kind.

        And float16 in a graph for cosine, where the engine has it: vectors are kept in float16 anyway, and a graph of
        float16 is built in half the time.
        """
        full = {"embedder": self.settings.default_embedder, "engine": self.settings.engine, **body}
        asked = full.get("index") or {}
        if not isinstance(full["engine"], str) or not isinstance(asked, Mapping):
            return full  # which is refused, by name, where the body is read
        claims = engine_class(EngineAddress.parse(full["engine"]).name).capabilities
        kind = IndexKind.HNSW if IndexKind.HNSW in claims.kinds else min(claims.kinds)
        index = {"kind": kind.value, "metric": Metric.COSINE.value, **asked}
        graph = (index["kind"], index["metric"]) == (IndexKind.HNSW, Metric.COSINE)
        if graph and Quantization.FLOAT16 in claims.quantizations.get(IndexKind.HNSW, ()):
            index.setdefault("quantization", Quantization.FLOAT16.value)
        return {**full, "index": index}

    def begin(self) -> None:
        """Begin what `warm` does, as far as it leaves the interpreter to others: indexes and models are loaded.

        What fails is left to `warm`, which tries it again and tells.
        """

        async def load() -> None:
            for collection in await self.catalog.list():
                with suppress(NearfieldError):
                    await (await self.generations.live(collection)).embedder.warm()

        self._loading = asyncio.create_task(load(), name="loading collections")

    async def export_parquet(
        self, name: str, path: Path, *, on_progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Every document with its vectors into a Parquet file, there whole or not at all; how many.

        on_progress: documents written, of how many; on the event loop.
        Raises InvalidRequest unless the name ends in .parquet, InvalidFile, DiskFull, IndexLagging.
        """
        from nearfield.sources.parquet_export import ParquetExport

        if path.suffix.lower() not in (".parquet", ".pq"):
            raise InvalidRequest(f"{path.name} is to be Parquet; give a name that ends in .parquet", field="to")

        def sink(live: OpenGeneration) -> ParquetExport:
            made = live.generation
            return ParquetExport(path, live.collection.spec, dimension=made.dimension, fingerprint=made.fingerprint)

        return await self.documents.export_vectors(name, sink, on_progress=on_progress)

    async def warm(self) -> None:
        """Open every collection, load the models they need, search once, and begin to apply what is pending.

        A collection that cannot be opened for good (its model is another now, say), or whose engine is down, answers
        with its error and keeps nobody else waiting. Raises what may pass: ModelUnreachable, EmbedderUnavailable.
        """
        await (await self.embedders.get(self.settings.default_embedder)).warm()
        for collection in await self.catalog.list():
            try:
                live = await self.generations.live(collection)
                await live.embedder.warm()
                if not collection.spec.brings_vectors:
                    await self.searches.warm(collection.name)
                await self.suggester.warm(collection)
            except NearfieldError as exc:
                if isinstance(exc, EngineUnavailable):
                    self.generations.notify(collection, 0)  # opened as soon as its engine is back
                elif exc.retryable:
                    raise
                log.error("collection %s cannot be opened: %s", collection.name, exc)
        self._warm = True

    async def ready(self) -> None:
        """Raises ShuttingDown, StoreUnavailable, or EmbedderUnavailable before the first `warm` has ended."""
        if self._closed:
            raise ShuttingDown("the service is shutting down")
        if not self._warm:
            raise EmbedderUnavailable("models and indexes are still being loaded")
        await self.store.ping()

    async def close(self) -> None:
        """Finish accepted writes, flush and close everything. Idempotent."""
        if not self._closed:
            self._closed = True
            if self._loading is not None:
                self._loading.cancel()
                await asyncio.wait({self._loading})
            await self._stack.aclose()


async def open_backend(settings: Settings, *, preload: bool = False) -> Backend:
    """Open a data directory, made when absent. Collections are opened when first used, or by `warm`.

    preload: a search is about to come, so the settings' embedder is loaded while the rest is opened.
    Raises DataDirInUse, StoreUnavailable, InvalidSetting.
    """
    folder = settings.data_dir.absolute()
    async with AsyncExitStack() as stack:
        stack.callback(_lock(folder).release)
        embedders = EmbedderPool(settings)
        stack.push_async_callback(embedders.close)
        if preload:
            embedders.begin(settings.default_embedder)
            await asyncio.sleep(0)  # its thread is to start before this one is busy importing
        from nearfield.store.sqlite import SqliteStore

        store = await SqliteStore.open(folder / "nearfield.db")
        stack.push_async_callback(store.close)
        engines = EnginePool(folder, settings.engine_keys)
        stack.push_async_callback(engines.close)
        generations = Generations(
            store,
            engine=engines.get,
            embedder=embedders.get,
            index_batch=settings.index_batch,
            optimize_after=settings.optimize_after,
            build_share=settings.build_share,
            linger_s=settings.search_timeout_s,
        )
        stack.push_async_callback(generations.close)
        catalog = Catalog(store, generations, wait_timeout_s=settings.wait_timeout_s)
        moves = Moves(store, catalog, generations, wait_timeout_s=settings.wait_timeout_s)
        documents = Documents(
            store,
            catalog,
            generations,
            max_text_length=settings.max_text_length,
            wait_timeout_s=settings.wait_timeout_s,
        )
        lexicons = Lexicons(store, folder / "lexicons")
        stack.push_async_callback(lexicons.close)
        impressions = Impressions(store, keep_days=settings.events_keep_days)
        stack.push_async_callback(impressions.close)
        understanding = Understanding(lexicons, partial(datetime.now, UTC))
        stack.push_async_callback(understanding.close)
        past = PastQueries()  # empty for ever where nothing is noted
        suggester = Suggester(generations, catalog.get, lexicons, past)
        rules, rerankers = RuleBook(store, catalog.get), RerankerPool(settings)
        stack.push_async_callback(rerankers.close)
        reranking = Reranking(
            rerankers.get,
            settings.reranker,
            Rerank(depth=settings.rerank_depth) if settings.rerank_depth else None,
            _passages,
        )
        searching = partial(
            SearchService,
            store,
            search_timeout_s=settings.search_timeout_s,
            wait_timeout_s=settings.wait_timeout_s,
            cursors=Cursors(budget_bytes=settings.cursor_bytes, idle_s=settings.cursor_idle_s),
            stages=reordering(reranking),
            readers=(understanding.reader, *Wording(lexicons).readers(), rules_reader(rules)),
        )
        shadows = Shadows()
        stack.push_async_callback(shadows.close)

        def read_with(collection: Collection, live: LiveIndex) -> tuple[object, ...]:
            lexicon = lexicons.steady(collection, live)
            return rules.held(collection), lexicon, understanding.steady(collection, lexicon)

        searches = searching(
            generations,
            catalog.get,
            answers=AnswerCache(budget_bytes=settings.answer_cache_bytes, beside=read_with),
            shown=impressions.note,
            past=past if settings.suggest_past_queries else None,
            watch=shadows.watch,
            highlighter=Highlighter(lambda embedder, text: Chunker(embedder).split([text])[0]),
        )
        stack.push_async_callback(searches.close)
        quality = Quality(store, catalog.get, partial(searches.search, recorded=False))
        moving = Moving(
            store,
            catalog,
            generations=generations,
            moves=moves,
            quality=quality,
            shadows=shadows,
            searcher=lambda opened: searching(_Only(opened), catalog.get),
            wait_timeout_s=settings.wait_timeout_s,
        )
        stack.push_async_callback(moving.close)
        feedback = Feedback(store, catalog.get, impressions)
        return Backend(
            settings,
            store,
            catalog,
            documents,
            searches,
            suggester,
            rules,
            embedders,
            generations,
            engines,
            moves,
            moving,
            quality,
            feedback,
            stack.pop_all(),
        )
    raise AssertionError


@dataclass(frozen=True, slots=True)
class _Only:
    """One generation, whichever is live."""

    opened: OpenGeneration

    async def live(self, collection: Collection) -> OpenGeneration:
        return self.opened


def _lock(folder: Path) -> FileLock:
    """Take the data directory for this process. Raises DataDirInUse, InvalidSetting."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0, thread_local=False)
        lock.acquire()
        (folder / "lock.pid").write_text(str(os.getpid()))
    except Timeout as exc:
        raise DataDirInUse(
            f"data directory {folder} is in use by {_holder(folder)}; one process at a time opens it: "
            "stop that one, or talk to it over HTTP"
        ) from exc
    except OSError as exc:
        raise InvalidSetting(f"data directory {folder} cannot be used: {exc.strerror}", field="data_dir") from exc
    return lock


def _holder(folder: Path) -> str:
    try:
        return f"process {int((folder / 'lock.pid').read_text())}"
    except (OSError, ValueError):
        return "another process"
