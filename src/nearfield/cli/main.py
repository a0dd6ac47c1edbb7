"""The commands and their flags. What a command does is in a file of its own, loaded when it runs: help stays quick."""
# Annotations are read by typer at run time, so they are not postponed here.
# ruff: noqa: PLC0415  each command loads what it needs

import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

import typer

from nearfield.cli.failing import FAILED, exit_code, tell
from nearfield.domain.errors import NearfieldError
from nearfield.domain.plans import Mode
from nearfield.domain.schema import Metric

app = typer.Typer(
    name="nearfield",
    help="Find documents by meaning: import a file, then search it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 good, 1 failed, 2 wrong use, 130 interrupted.",
)
models = typer.Typer(help="The models known by name: which are here, and fetching them.", no_args_is_help=True)
app.add_typer(models, name="model")
judging = typer.Typer(help="What people judged: the judgments a collection is measured by.", no_args_is_help=True)
app.add_typer(judging, name="judgments")
ruling = typer.Typer(help="Synonyms, and documents pinned or hidden by query.", no_args_is_help=True)
app.add_typer(ruling, name="rules")

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data directory (default: setting data_dir, nearfield-data)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A collection.")]
AnyName = Annotated[str | None, typer.Argument(metavar="NAME", help="A collection; all of them when left out.")]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help='A filter: \'price <= 100 AND brand IN ["Acme", "Zeta"]\'.'),
]

_QUERIES = typer.Option("--queries", metavar="FILE", help="Queries: JSON lines with id and text.")
_QRELS = typer.Option(
    "--qrels", metavar="FILE", help="Judgments: query id, document id, grade; or TREC's four columns."
)
QueriesFile = Annotated[Path | None, _QUERIES]
QrelsFile = Annotated[Path | None, _QRELS]
WantedQueries = Annotated[Path, _QUERIES]
WantedQrels = Annotated[Path, _QRELS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code.

    A defect of ours is raised as it is, with its traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in takewhile(lambda argument: argument != "--", given)
    try:
        app(given, prog_name="nearfield")
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else FAILED
    except NearfieldError as exc:
        tell(exc, as_json=as_json)
        return exit_code(exc)
    return 0


def _print_version(asked: bool) -> None:
    if asked:
        from nearfield import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("import")
def _import(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|STORE",
            help="CSV, JSON lines, JSON or Parquet, also .gz; - is stdin. Or another store: "
            "chroma+http://HOST?collection=NAME, qdrant+..., pgvector+..., faiss+file:PATH.",
        ),
    ],
    collection: Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="Made when it is not there.")],
    id: Annotated[
        str | None,
        typer.Option("--id", metavar="FIELD", help="The field that holds the id (default: id, if there is one)."),
    ] = None,
    embed: Annotated[
        str | None,
        typer.Option("--embed", metavar="TEMPLATE", help='The text to embed: "{name}: {description}".'),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME=TYPE", help="The type of a field, where the inferred one is wrong."),
    ] = None,
    engine: Annotated[str | None, typer.Option(metavar="E", help="Where vectors live: `nearfield engines`.")] = None,
    embedder: Annotated[str | None, typer.Option(metavar="M", help="A model: `nearfield model list`.")] = None,
    precision: Annotated[
        Literal["native", "float32", "int8"] | None,
        typer.Option(help="The model's arithmetic; int8 is faster and gives vectors of its own (default: native)."),
    ] = None,
    index: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,...", help="Index settings: kind=hnsw,m=32,quantization=int8.")
    ] = None,
    metric: Annotated[
        Metric | None,
        typer.Option(metavar="M", help="cosine, dot or euclidean (default: as the store compares, else cosine)."),
    ] = None,
    vector_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Where rows of files bring vectors, taken as they are.")
    ] = None,
    vectors_by: Annotated[
        str | None,
        typer.Option(metavar="M", help="The model that made the vectors, checked on a sample: none is made anew."),
    ] = None,
    rejected: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where rejected rows are told (default: FILE.rejected.jsonl)."),
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Import files, or another store, into a collection.

    A store's vectors are taken as they are, unless --embedder names a model that is to embed the texts anew.

    A new collection gets its fields and template from the first rows, and shows them. An import that was stopped goes
    on when it is run again: nothing is embedded twice.
    """
    from nearfield.cli import importing, schema
    from nearfield.cli.terminal import Terminal
    from nearfield.indexing.arrivals import Wish

    settings = schema.parse_index(index) | ({} if metric is None else {"metric": metric.value})
    wish = Wish(
        collection, embed, schema.parse_fields(field or []), engine, embedder, settings, vector_field, vectors_by
    )
    importing.import_files(importing.Ask(files, wish, id, rejected, precision), data, Terminal(as_json=json))


@app.command()
def search(
    name: Name,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What to look for, in words.")],
    where: Where = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Hits wanted, 1 to 1000.")] = 10,
    mode: Annotated[
        Mode | None,
        typer.Option(metavar="hybrid|semantic|lexical", help="Meaning and words, meaning, or words (default: hybrid)."),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            metavar="M[:W]",
            help="How both are put together: auto, sum, rrf, minmax, zscore or dbsf, and the "
            "share of meaning: rrf:0.7 (default: the collection's way).",
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every vector.")] = False,
    typos: Annotated[bool, typer.Option("--typos/--no-typos", help="Forgive typing errors.")] = True,
    understand: Annotated[
        bool | None,
        typer.Option("--understand/--no-understand", help="Read constraints from the query (default: in hybrid)."),
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Score the best again by this cross-encoder, a folder.")
    ] = None,
    diversity: Annotated[
        float, typer.Option(metavar="X", help="0 to 1: how much being unlike the hits before counts.")
    ] = 0.0,
    boost: Annotated[
        list[str] | None,
        typer.Option("--boost", metavar="JSON", help='Lift hits: \'{"recency": "added", "half_life": "30d"}\'.'),
    ] = None,
    rules: Annotated[bool, typer.Option("--rules/--no-rules", help="Apply synonyms, pins and hides.")] = True,
    sort: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Order by a field, -FIELD descending; repeatable.")
    ] = None,
    facet: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Count a field's values; repeatable.")
    ] = None,
    group_by: Annotated[str | None, typer.Option(metavar="FIELD", help="Show the best hit of each value.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell what each stage did to each hit.")] = False,
    highlight: Annotated[
        bool, typer.Option("--highlight", help="Show the best passage, and which words matched.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for changes not yet indexed.")] = True,
    data: Data = None,
    json: Json = False,
) -> None:
    """Search a collection, by meaning and words."""
    from nearfield.cli import searching
    from nearfield.cli.terminal import Terminal
    from nearfield.domain.fusion_json import fusion_from_text

    way = None if fusion is None else fusion_from_text(fusion)
    boosts = tuple(boost or ())
    asked = (name, query, where, limit, mode, exact, typos, wait, understand, way, rerank, diversity, boosts, rules)
    shape = searching.Shape(tuple(sort or ()), tuple(facet or ()), group_by, explain, highlight)
    ask = searching.Ask(*asked, shape)
    searching.search(ask, data, Terminal(as_json=json))


@app.command()
def suggest(
    name: Name,
    typed: Annotated[str, typer.Argument(metavar="TYPED", help="The beginning of a query.")],
    limit: Annotated[int, typer.Option(metavar="N", help="Suggestions wanted, 1 to 100.")] = 10,
    data: Data = None,
    json: Json = False,
) -> None:
    """Complete a query from the titles of documents."""
    from nearfield.cli import suggesting
    from nearfield.cli.terminal import Terminal

    suggesting.suggest(name, typed, limit, data, Terminal(as_json=json))


@app.command()
def tune(
    name: Name,
    goal: Annotated[str, typer.Option("--for", metavar="relevance", help="What to tune for.")] = "relevance",
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Queries (default: the stored judgments).")
    ] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Their judgments.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Take what was found, if it is better beyond chance.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Learn from judgments how a collection should put meaning and words together."""
    from nearfield.cli import tuning
    from nearfield.cli.terminal import Terminal

    tuning.tune(tuning.Ask(name, goal, queries, qrels, apply), data, Terminal(as_json=json))


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(metavar="H", help="Address; any but loopback needs API keys (default: 127.0.0.1).")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="P", help="Port; 0 takes a free one (default: 7700).")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM, then finish what was accepted."""
    from nearfield.cli import serving
    from nearfield.cli.terminal import Terminal

    serving.serve(host, port, data, Terminal(as_json=json))


@app.command()
def collections(data: Data = None, json: Json = False) -> None:
    """List the collections with their settings."""
    from nearfield.cli import looking
    from nearfield.cli.terminal import Terminal

    looking.collections(data, Terminal(as_json=json))


@app.command()
def status(name: AnyName = None, data: Data = None, json: Json = False) -> None:
    """Documents, pending changes and index size."""
    from nearfield.cli import looking
    from nearfield.cli.terminal import Terminal

    looking.status(name, data, Terminal(as_json=json))


@app.command()
def check(
    name: AnyName = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Compare documents and index; exit code 1 when they differ."""
    from nearfield.cli import looking
    from nearfield.cli.terminal import Terminal

    looking.check(name, data, Terminal(as_json=json), repair=repair)


@app.command()
def export(
    name: Name,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE.parquet", help="Write Parquet there, with the vectors.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print every document, one JSON object a line; or write all of it, with its vectors, to a Parquet file."""
    from nearfield.cli import moving
    from nearfield.cli.terminal import Terminal

    if to is None:
        moving.export(name, data)
    else:
        moving.export_to(name, to, data, Terminal(as_json=json))


@app.command()
def delete(
    name: Name,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting a whole collection.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Delete the documents that pass --where, or the whole collection."""
    from nearfield.cli import moving
    from nearfield.cli.terminal import Terminal

    if json and where is None and not yes:
        raise typer.BadParameter("with --json nothing is asked; say --yes to delete the whole collection")
    moving.delete(name, where, data, Terminal(as_json=json), sure=yes)


@app.command()
def move(
    name: Name,
    engine: Annotated[str | None, typer.Option(metavar="E", help="An engine's name or address.")] = None,
    embedder: Annotated[str | None, typer.Option(metavar="M", help="A model: `nearfield model list`.")] = None,
    index: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,...", help="Index settings: m=32,quantization=int8.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only estimate what it takes, on a sample.")] = False,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Fill and verify, and do not switch.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not estimate and ask first.")] = False,
    min_recall: Annotated[
        float, typer.Option(metavar="X", help="Recall@10 against every vector, at least, or as much as before.")
    ] = 0.95,
    max_p95_ms: Annotated[
        float | None, typer.Option(metavar="MS", help="Time of 95% of the searches, at most.")
    ] = None,
    price: Annotated[float | None, typer.Option(metavar="P", help="Of a million tokens embedded.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a page, with plots.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Move a collection to another engine, model or index: fill it beside the live one, verify, then switch.

    A move that was stopped goes on when it is run again; without --engine, --embedder and --index it goes on with
    whatever is under way. Exit code 1 when the new index does not hold what it must; nothing is switched then.
    """
    from nearfield.cli import relocating, schema
    from nearfield.cli.terminal import Terminal
    from nearfield.domain.moves import Gates

    given = {"engine": engine, "embedder": embedder, "index": schema.parse_index(index) or None}
    wish = {key: value for key, value in given.items() if value is not None}
    if json and wish and not yes and not plan:
        raise typer.BadParameter("with --json nothing is asked; say --yes to move, or --plan to estimate")
    gates = Gates(min_recall=min_recall, max_p95_ms=max_p95_ms)
    ask = relocating.Ask(name, wish, gates, price, plan, verify_only, yes, html)
    relocating.move(ask, data, Terminal(as_json=json))


@app.command()
def shadow(
    name: Name,
    share: Annotated[
        float | None, typer.Option(metavar="X", help="Begin: of the searches made from now on, up to 1.", min=0, max=1)
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End it.")] = False,
    generation: Annotated[
        int | None, typer.Option(metavar="N", help="Which (default: the one moved to, or else the one kept).")
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The service (default: by the settings host and port).")
    ] = None,
    json: Json = False,
) -> None:
    """Try the index beside the live one on a share of a running service's searches; tell what differed so far.

    Nobody waits for it, and it counts anew with each --share. The service is asked over HTTP, with the first of the
    setting api_keys.
    """
    from nearfield.cli import shadowing
    from nearfield.cli.terminal import Terminal

    if stop and share is not None:
        raise typer.BadParameter("--share begins and --stop ends; give one of them")
    shadowing.shadow(shadowing.Ask(name, 0.0 if stop else share, generation, url), Terminal(as_json=json))


@app.command()
def rollback(name: Name, data: Data = None, json: Json = False) -> None:
    """Go back to the index that was live before the last move, at once."""
    from nearfield.cli import relocating
    from nearfield.cli.terminal import Terminal

    relocating.rollback(name, data, Terminal(as_json=json))


@app.command()
def generations(
    name: Name,
    drop: Annotated[
        bool, typer.Option("--drop", help="Give up all but the live one: what is kept, or being filled.")
    ] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """List the live index and those beside it, and how far each is."""
    from nearfield.cli import relocating
    from nearfield.cli.terminal import Terminal

    relocating.generations(name, data, Terminal(as_json=json), drop=drop)


@app.command("eval")
def _eval(
    name: Name,
    queries: QueriesFile = None,
    qrels: QrelsFile = None,
    mode: Annotated[Mode | None, typer.Option(metavar="hybrid|semantic|lexical", help="What is measured.")] = None,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A member of what is measured: exact=true."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="KEY=VALUE,...", help="Another configuration to compare with: mode=lexical."),
    ] = None,
    min: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="MEASURE=N", help="Exit with 1 when a mean is below: ndcg@10=0.60."),
    ] = None,
    show: Annotated[int, typer.Option(metavar="N", help="Worst and most changed queries shown.", min=0)] = 10,
    data: Data = None,
    json: Json = False,
) -> None:
    """Measure the ranking on judged queries: nDCG@10, MRR@10, Recall@100, P@10, judged@10.

    Without files the judgments stored in the collection are used.
    """
    from nearfield.cli import evaluating
    from nearfield.cli.terminal import Terminal

    options = [*(set or []), *([f"mode={mode}"] if mode else [])]
    ask = evaluating.Ask(name, queries, qrels, options, against, min or [], show)
    evaluating.evaluate(ask, data, Terminal(as_json=json))


@judging.command("import")
def _judgments_import(
    name: Name, queries: WantedQueries, qrels: WantedQrels, data: Data = None, json: Json = False
) -> None:
    """Store judgments from files; those of the same query and document are replaced."""
    from nearfield.cli import judging
    from nearfield.cli.terminal import Terminal

    judging.import_judgments(name, queries, qrels, data, Terminal(as_json=json))


@judging.command("export")
def _judgments_export(
    name: Name, queries: WantedQueries, qrels: WantedQrels, data: Data = None, json: Json = False
) -> None:
    """Write the stored judgments as two files."""
    from nearfield.cli import judging
    from nearfield.cli.terminal import Terminal

    judging.export_judgments(name, queries, qrels, data, Terminal(as_json=json))


@judging.command("list")
def _judgments_list(name: Name, data: Data = None, json: Json = False) -> None:
    """The judged queries, how many documents of each are judged, and how many are relevant."""
    from nearfield.cli import judging
    from nearfield.cli.terminal import Terminal

    judging.list_judgments(name, data, Terminal(as_json=json))


@judging.command("learn")
def _judgments_learn(name: Name, data: Data = None, json: Json = False) -> None:
    """Turn recorded clicks into judgments, with the position they were shown at taken out."""
    from nearfield.cli import judging
    from nearfield.cli.terminal import Terminal

    judging.learn(name, data, Terminal(as_json=json))


@app.command()
def report(
    name: Name,
    below: Annotated[int, typer.Option(metavar="N", help="Fewer documents found than that is too few.")] = 5,
    limit: Annotated[int, typer.Option(metavar="N", help="Queries told.")] = 50,
    data: Data = None,
    json: Json = False,
) -> None:
    """Queries that found nothing or little, the most searched first."""
    from nearfield.cli import judging
    from nearfield.cli.terminal import Terminal

    judging.report(name, below, limit, data, Terminal(as_json=json))


@app.command()
def config(data: Data = None, json: Json = False) -> None:
    """Every setting: its value, where it comes from, what it means."""
    from nearfield.cli import about
    from nearfield.cli.terminal import Terminal

    about.config(data, Terminal(as_json=json))


@app.command()
def engines(json: Json = False) -> None:
    """What each installed engine can do."""
    from nearfield.cli import about
    from nearfield.cli.terminal import Terminal

    about.engines(Terminal(as_json=json))


@ruling.command("show")
def _rules_show(
    name: Name,
    version: Annotated[int | None, typer.Option(metavar="N", help="An earlier version.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Print the rules in force, as JSON that `put` reads."""
    from nearfield.cli import ruling as command
    from nearfield.cli.terminal import Terminal

    command.show(name, version, data, Terminal(as_json=json))


@ruling.command("put")
def _rules_put(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON with synonyms, pins and hides.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Put the rules of a file in place of all there were."""
    from nearfield.cli import ruling as command
    from nearfield.cli.terminal import Terminal

    command.put(name, file, data, Terminal(as_json=json))


@ruling.command("history")
def _rules_history(name: Name, data: Data = None, json: Json = False) -> None:
    """List the versions kept, latest first."""
    from nearfield.cli import ruling as command
    from nearfield.cli.terminal import Terminal

    command.history(name, data, Terminal(as_json=json))


@ruling.command("restore")
def _rules_restore(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="N", help="A version that the history tells.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Write an earlier version again, as a new one."""
    from nearfield.cli import ruling as command
    from nearfield.cli.terminal import Terminal

    command.restore(name, version, data, Terminal(as_json=json))


@models.command("list")
def _model_list(json: Json = False) -> None:
    """The models known by name, their licence and size, and which are here."""
    from nearfield.cli import about
    from nearfield.cli.terminal import Terminal

    about.model_list(Terminal(as_json=json))


@models.command("pull")
def _model_pull(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A model; the default embedder when left out.")
    ] = None,
    json: Json = False,
) -> None:
    """Fetch a model's weights and check them."""
    from nearfield.cli import about
    from nearfield.cli.terminal import Terminal

    about.model_pull(name, Terminal(as_json=json))
