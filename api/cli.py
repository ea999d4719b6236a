"""The command line: serve, and all that an operator does beside a service."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click
import msgspec

from api.settings import Settings, settings
from lifecycle.asks import Look
from lifecycle.log import BadDatabase
from lifecycle.refusals import BadDefinition, Problem, Refusal

if TYPE_CHECKING:
    from lifecycle.adoption import Adoption

F = TypeVar("F", bound=Callable[..., Any])


def _option(*names: str, **more: Any) -> Callable[[F], F]:
    return click.option(*names, **more)


def _stored(command: F) -> F:
    """The options of every command that opens the log."""
    command = _option("--definitions", help="Folder of the declared lifecycles.  [definitions]")(
        command
    )
    return _option("--database", help="sqlite:///FILE or postgresql://…")(command)


_JSON = _option("--json", "as_json", is_flag=True, help="Print data as JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="statekeeper")
def cli() -> None:
    """One shared state for every job and client, between the tools of a firm."""


def main() -> None:
    """Run the command line: exit 0, or one clear line and exit 1 (2: wrong usage)."""
    try:
        # Out of standalone mode click gives back the code that a command exits with.
        sys.exit(cli(prog_name="statekeeper", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(1)
    except BadDefinition as bad:
        click.echo("\n".join(str(problem) for problem in bad.problems), err=True)
        sys.exit(1)
    except Refusal as refusal:
        click.echo(refusal.detail, err=True)
        sys.exit(1)
    except (BadDatabase, OSError) as exc:
        click.echo(str(exc), err=True)
        sys.exit(1)


@cli.command()
@_stored
@_option("--host", help="Address to listen on.  [127.0.0.1]")
@_option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [8000]")
def serve(**flags: Any) -> None:
    """Serve the API.

    Example: statekeeper serve --database sqlite:///var/statekeeper.db --port 8000
    """
    from api.serving import run

    run(_settings(**flags))


@cli.command()
@click.argument("place", required=False, metavar="[DIR|FILE]")
@_option("--database", help="Tell also what adopting them over this database would do.")
@_JSON
def check(place: str | None, *, database: str | None, as_json: bool) -> None:
    """Check definitions: every problem with file, line and path, and what would do.

    Example: statekeeper check definitions --database sqlite:///var/statekeeper.db
    """
    from lifecycle.catalogue import load

    where = Path(place) if place else _settings().definitions
    names, problems = "", tuple[Problem, ...]()
    try:
        catalogue = load(where, os.environ)
        names = ", ".join(f"{one.name} {one.mark.version}" for one in catalogue.lifecycles.values())
        problems = catalogue.warnings
    except BadDefinition as bad:
        problems = bad.problems
    wrong = [problem for problem in problems if not problem.warning]
    adoptions = _adoptions(where, database) if database and not wrong else []
    fits = not wrong and not any(one.refused for one in adoptions)
    if as_json:
        _print_json({"ok": fits, "problems": problems, "adoptions": adoptions})
    else:
        for problem in problems:
            click.echo(
                f"{'warning: ' if problem.warning else ''}{problem}", err=not problem.warning
            )
        if not wrong:
            click.echo(f"sound: {names}")
        for one in adoptions:
            click.echo(_foretold(one), err=bool(one.refused))
    if not fits:
        raise click.exceptions.Exit(1)


def _adoptions(where: Path, database: str) -> "list[Adoption]":
    """What adopting the definitions at this place over a database would do."""
    from lifecycle.adoption import plan

    file = Path(database.removeprefix("sqlite:///"))
    if database.startswith("sqlite:///") and not file.exists():
        raise click.ClickException(f"there is no database {file}")
    with _opened(database=database, definitions=str(where)) as keeper:
        return [plan(keeper.journal, one) for one in keeper.catalogue.lifecycles.values()]


def _foretold(one: "Adoption") -> str:
    if one.refused:
        return f"{one.lifecycle} {one.version} would be refused: {one.refused}"
    if not one.changes:
        return f"{one.lifecycle} {one.version} changes nothing"
    if one.adopted is None:
        return f"{one.lifecycle} {one.version} would be adopted, the first"
    return (
        f"{one.lifecycle} {one.version} would be adopted after {one.adopted}:"
        f" {one.open_cases} open cases, {len(one.carried)} of them under other names or in new"
        f" regions, {one.reworded} with another word in some tool"
    )


@cli.group()
def keys() -> None:
    """Issue, list and revoke keys."""


@keys.command("issue")
@_option("--tool", help="The tool that the key is for.")
@_option("--staff", help="The member of staff that the key is for.")
@_option("--read-only", is_flag=True, help="For staff: may look, may not act.")
@_stored
@_JSON
def issue_key(
    *, tool: str | None, staff: str | None, read_only: bool, as_json: bool, **flags: Any
) -> None:
    """Issue a key; it is shown this once.

    Example: statekeeper keys issue --tool crm
    """
    from api.keys import issue

    if (tool is None) == (staff is None):
        raise click.UsageError("name one of --tool and --staff")
    if read_only and staff is None:
        raise click.UsageError("--read-only goes with --staff")
    if staff is not None and not (0 < len(staff) <= 80 and staff.isprintable()):  # noqa: PLR2004
        raise click.UsageError("--staff: 1 to 80 printable characters")
    with _opened(**flags) as keeper:
        declared = keeper.catalogue.tools()
        if tool is not None and tool not in declared:
            raise click.ClickException(
                f"no definition names a tool {tool!r} (declared: {', '.join(declared)})"
            )
        made = issue(keeper.journal, tool=tool, staff=staff, read_only=read_only)
    if as_json:
        _print_json(made)
    else:
        click.echo(f"id:  {made.id}\nkey: {made.key}\nIt is not shown again.")


@keys.command("list")
@_stored
@_JSON
def list_keys(*, as_json: bool, **flags: Any) -> None:
    """List keys, the revoked ones too; never their secrets.

    Example: statekeeper keys list
    """
    from api.keys import issued

    with _opened(**flags) as keeper:
        found = issued(keeper.journal)
    rows = [
        {
            "id": key.id,
            "tool": key.asker.tool,
            "staff": key.asker.staff,
            "read_only": key.asker.read_only,
            "issued_at": key.issued_at,
            "revoked": key.revoked,
        }
        for key in found
    ]
    if as_json:
        _print_json(rows)
        return
    for key in found:
        kind = "tool" if key.asker.tool else "staff"
        marks = [
            *(["read only"] if key.asker.read_only else []),
            *(["revoked"] if key.revoked else []),
        ]
        click.echo(f"{key.id}  {kind} {key.asker.name}  {', '.join(marks)}".rstrip())


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@_stored
def revoke_key(key_id: str, **flags: Any) -> None:
    """Honour a key no more, from this moment.

    Example: statekeeper keys revoke k7m2q9x4ab
    """
    from api.keys import revoke

    with _opened(**flags) as keeper:
        if not revoke(keeper.journal, key_id):
            raise click.ClickException(
                f"no key {key_id!r} is honoured (see: statekeeper keys list)"
            )
    click.echo(f"revoked {key_id}")


@cli.command()
@click.argument("case", metavar="COLLECTION/ID")
@_stored
@_JSON
def why(case: str, *, as_json: bool, **flags: Any) -> None:
    """Say why a case is where it is.

    Example: statekeeper why jobs/J-1042
    """
    from projections.why import why as explained

    with _opened(**flags) as keeper:
        found, entries, lifecycle = _looked_up(keeper, case)
        answer = explained(found, entries, lifecycle, now=keeper.journal.clock())
    if as_json:
        _print_json(answer)
        return
    click.echo(answer.answer)
    for event in answer.because:
        click.echo(f"  {event.time}  {event.sentence}")


@cli.command()
@click.argument("case", metavar="COLLECTION/ID")
@_stored
@_JSON
def history(case: str, *, as_json: bool, **flags: Any) -> None:
    """Show everything that happened to a case, oldest first.

    Example: statekeeper history jobs/J-1042
    """
    from projections.timeline import history as told

    with _opened(**flags) as keeper:
        _, entries, lifecycle = _looked_up(keeper, case)
        events = told(entries, lifecycle)
    if as_json:
        _print_json({"items": events})
        return
    for event in events:
        mark = "refused" if event.type == "Refused" else f"v{event.version}"
        click.echo(f"{event.time}  {mark:>7}  {event.sentence}")


@cli.command("import")
@click.argument("collection")
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@_option("--as", "staff", metavar="NAME", help="The member of staff who imports.")
@_option("--tool", help="The tool that imports, where it is no member of staff.")
@_stored
@_JSON
def import_lines(
    collection: str,
    file: BinaryIO,
    *,
    staff: str | None,
    tool: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Import many cases: one JSON object a line, applied in order; `-` reads standard input.

    The same file again changes nothing. Tools are not told of what changes.

    Example: statekeeper import jobs history.ndjson --as Operator
    """
    from rich.console import Console

    from api.importing import begun, import_file, summary

    if (staff is None) == (tool is None):
        raise click.UsageError("name one of --as and --tool")
    with _opened(**flags) as keeper:
        coming = begun(keeper, collection, file.name, staff=staff, tool=tool)
        report = import_file(keeper, coming, file, Console(stderr=True))
    if as_json:
        _print_json(report)
    else:
        click.echo(summary(report))
    if report.stopped:
        raise click.ClickException(report.stopped)


def _looked_up(keeper: Any, case: str) -> tuple[Any, Any, Any]:
    from lifecycle.asks import Ask, case_stream, refusals_stream
    from lifecycle.events import Asker

    collection, slash, case_id = case.partition("/")
    if not slash:
        raise click.UsageError(f"{case!r} names no case: write COLLECTION/ID, like jobs/J-1042")
    ask = Ask(asker=Asker(), collection=collection, id=case_id, what=Look())
    found = keeper.journal.answer_now(ask).case
    journal = keeper.journal
    streams = [case_stream(collection, case_id), refusals_stream(collection, case_id)]
    entries = [journal.mapper.to_domain_event(one) for one in journal.recorder.streams(streams)]
    return found, entries, keeper.catalogue.lifecycles[collection]


def _settings(**flags: Any) -> Settings:
    try:
        return settings(os.environ, **flags)
    except ValueError as exc:
        raise click.ClickException(str(exc)) from exc


@contextmanager
def _opened(**flags: Any) -> Iterator[Any]:
    """The journal of the database set, beside whatever service runs over it."""
    from api.door import Keeper
    from api.logs import configure
    from lifecycle.catalogue import load
    from lifecycle.opening import open_journal

    chosen = _settings(**flags)
    configure("error")
    catalogue = load(chosen.definitions, os.environ)
    journal = open_journal(chosen.database, catalogue.lifecycles, chosen.master_key)
    try:
        yield Keeper(journal, catalogue)
    finally:
        journal.stop()
        journal.recorder.close()


def _print_json(value: object) -> None:
    from api.problems import JSON

    click.echo(msgspec.json.format(JSON.encode(value), indent=2).decode())
