"""The page of all commands, from the flags themselves. Written by generate.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer.main

from nearfield.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = """# Command line

Results go to standard output, messages and progress to standard error. With `--json` standard output holds JSON and
nothing else; a failure is then a problem object with `code` and `detail`.

| exit code | meaning |
|--:|---|
| 0 | good |
| 1 | failed: what went wrong is told with its code |
| 2 | wrong use: a flag, a filter or a setting has to be written differently |
| 130 | interrupted: what was acknowledged is durable, running the command again goes on |
"""


def cli_page() -> str:
    """The whole page, ending in a line feed."""
    parts = [HEADER]
    for name, command in _commands(typer.main.get_command(app), "nearfield"):
        parts.append(_section(name, command))
    return "\n".join(parts)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, in the order declared."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for key, one in below.items():
        yield from _commands(one, f"{name} {key}")


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    usage = " ".join([name, *(_placed(param) for param in arguments), "[options]"])
    lines = [f"## {name}", "", " ".join(command.help.split()), "", "```text", usage, "```", "", "| | |", "|---|---|"]
    lines += [f"| `{_placed(param)}` | {_told(param)} |" for param in arguments]
    lines += [f"| `{_spelled(param)}` | {_told(param)} |" for param in options]
    return "\n".join([*lines, ""])


def _placed(param: Any) -> str:
    shown = f"{param.metavar}..." if param.nargs == -1 else param.metavar
    return shown if param.required else f"[{shown}]"


def _spelled(param: Any) -> str:
    names = ", ".join(sorted([*param.opts, *param.secondary_opts], key=lambda name: (name.startswith("--no-"), name)))
    return names if param.is_flag else f"{names} {param.metavar}".replace("|", "\\|")


def _told(param: Any) -> str:
    told = str(param.help).replace("|", "\\|")
    if param.param_type_name == "argument":
        return told
    if param.required:
        told += " Required."
    if not param.is_flag and isinstance(param.default, int):
        told += f" Default: {param.default}."
    return told
