"""What holds for every command: exit codes, where output goes, and how quickly help comes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import orjson
import pytest

import nearfield as package
from nearfield.cli.main import app

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run

HEAVY = ("numpy", "openvino", "onnxruntime", "zvec", "fastapi", "sqlalchemy", "pyarrow", "orjson", "pydantic_settings")


@pytest.mark.parametrize("arguments", [["--help"], ["import", "--help"], ["search", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom nearfield.cli.main import main\n"
        f"code = main({arguments!r})\n"
        f"sys.exit(code or ','.join(set(sys.modules) & set({HEAVY!r})) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip()


def test_the_version_is_the_packages(nearfield: Run) -> None:
    assert nearfield("--version").out.strip() == package.__version__


def test_every_command_is_there_and_takes_json(nearfield: Run) -> None:
    assert app.info.epilog == "Exit codes: 0 good, 1 failed, 2 wrong use, 130 interrupted."
    for command in (
        "import",
        "search",
        "serve",
        "collections",
        "status",
        "check",
        "export",
        "delete",
        "config",
        "engines",
    ):
        shown = nearfield(command, "--help")
        assert shown.code == 0
        assert "--json" in shown.out, command
    for command in ("list", "pull"):
        assert "--json" in nearfield("model", command, "--help").out


WRONG_USE = (
    ("serch",),
    ("search", "shop"),
    ("import", "products.csv"),
    ("search", "shop", "lamp", "--limit", "many"),
    ("search", "shop", "lamp", "--limit", "0"),
    ("search", "shop", "lamp", "--mode", "psychic"),
    ("search", "shop", "  "),
    ("search", "shop", "lamp", "--where", "price <"),
    ("search", "shop", "lamp", "--where", "colour = 'red'"),
    ("search", "shop", "lamp", "--data", "elsewhere"),
    ("import", "products.csv", "-c", "new", "--field", "price"),
    ("import", "products.csv", "-c", "new", "--field", "price=money"),
    ("import", "products.csv", "-c", "new", "--index", "m"),
    ("import", "products.csv", "-c", "new", "--index", "m=two"),
    ("import", "products.csv", "-c", "new", "--index", "kind=hnsw"),
    ("import", "products.csv", "-c", "new", "--embed", "{name"),
    ("import", "products.csv", "-c", "new", "--embed", "{colour}"),
    ("import", "products.csv", "-c", "new", "--engine", "warp"),
    ("import", "products.csv", "-c", "new", "--embedder", "no-such-model"),
    ("import", "products.csv", "-c", "new", "--id", "sku"),
    ("import", "products.csv", "-c", "../new"),
    ("delete", "shop", "--where", "price !"),
    ("delete", "shop", "--json"),
    ("serve", "--host", "0.0.0.0"),
    ("model", "pull", "no-such-model"),
)
FAILURES = (
    (("search", "shoop", "lamp"), "collection_not_found"),
    (("status", "shoop"), "collection_not_found"),
    (("check", "shoop"), "collection_not_found"),
    (("export", "shoop"), "collection_not_found"),
    (("delete", "shoop", "--yes"), "collection_not_found"),
    (("delete", "shoop", "--where", "price = 1"), "collection_not_found"),
    (("import", "gone.csv", "-c", "shop"), "invalid_file"),
    (("import", "products.csv", "-c", "shop", "--embed", "{name}"), "collection_conflict"),
)


def test_wrong_use_is_two(shop: Run, subtests: pytest.Subtests) -> None:
    for arguments in WRONG_USE:
        with subtests.test(arguments=arguments):
            ran = shop(*arguments)
            assert ran.code == 2, ran
            assert ran.out == ""
            assert ran.err


def test_a_failure_is_one_and_a_problem_with_json(shop: Run, subtests: pytest.Subtests) -> None:
    for arguments, code in FAILURES:
        with subtests.test(arguments=arguments):
            ran = shop(*arguments)
            assert (ran.code, ran.out) == (1, "")
            assert ran.err.startswith("error: ")
            assert ran.err.endswith(f"({code})\n")
            problem = shop(*arguments, "--json")
            assert problem.code == 1
            assert problem.json["code"] == code
            assert problem.json["type"] == f"urn:nearfield:error:{code}"
            assert problem.json["detail"] in ran.err


def test_json_after_two_dashes_is_an_argument(shop: Run) -> None:
    assert shop("search", "shoop", "--", "--json").err.startswith("error: ")


def test_a_misspelt_variable_is_told(nearfield: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_EMBEDER", "hashing")
    ran = nearfield("config")
    assert ran.code == 2
    assert "did you mean NEARFIELD_EMBEDDER" in ran.err


def test_the_fake_embedder_is_refused_in_production(
    nearfield: Run, products: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEARFIELD_ENVIRONMENT")
    ran = nearfield("import", "products.csv", "-c", "shop")
    assert ran.code == 2
    assert "hashing" in ran.err


def test_standard_output_is_json_alone(shop: Run) -> None:
    for command in (
        ("collections",),
        ("status",),
        ("check",),
        ("config",),
        ("engines",),
        ("model", "list"),
        ("search", "shop", "lamp"),
        ("import", "products.csv", "-c", "shop"),
        ("delete", "shop", "--where", "price > 1000"),
    ):
        ran = shop(*command, "--json")
        assert ran.code == 0, ran.err
        assert isinstance(orjson.loads(ran.out), dict), command
