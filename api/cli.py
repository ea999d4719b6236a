"""The command line: serve, and all that an operator does beside a service."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click
import msgspec

from api.audit.command import audit
from api.settings import Settings, settings
from lifecycle.log import BadDatabase
from lifecycle.refusals import BadDefinition, Problem, Refusal

if TYPE_CHECKING:
    from lifecycle.adoption import Adoption
    from lifecycle.catalogue import Catalogue
    from lifecycle.journal import Journal

F = TypeVar("F", bound=Callable[..., Any])


def _option(*names: str, **more: Any) -> Callable[[F], F]:
    return click.option(*names, **more)


def _stored(command: F) -> F:
    """The options of every command that opens the log."""
    command = _option("--definitions", help="Folder of the declared lifecycles.  [definitions]")(
        command
    )
    return _option("--database", help="sqlite:///FILE or postgresql://…")(command)


class Opened(msgspec.Struct, frozen=True):
    """What a command opens: what is true, and what is declared."""

    journal: "Journal"
    catalogue: "Catalogue"


class CaseNamed(click.ParamType[tuple[str, str]]):
    """A case, like `jobs/J-1042`: its collection and its id."""

    name = "case"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split a name at its first slash."""
        if isinstance(value, tuple):
            return value
        collection, slash, case_id = value.partition("/")
        if not slash:
            self.fail(f"{value!r} names no case: write COLLECTION/ID, like jobs/J-1042", param, ctx)
        return collection, case_id


_JSON = _option("--json", "as_json", is_flag=True, help="Print data as JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="statekeeper")
def cli() -> None:
    """One shared state for every job and client, between the tools of a firm.

    Example: statekeeper serve --port 8000
    """


cli.add_command(audit)


def main() -> None:
    """Run the command line: exit 0, or one clear line and exit 1 (2: wrong usage)."""
    # msgspec 0.22 frees struct types that name each other twice when the interpreter collects them
    # at its end (a crash in `StructMeta_clear`, seen); what is frozen is not collected.
    atexit.register(gc.freeze)
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
@_option("--no-worker", is_flag=True, help="Only serve; `statekeeper worker` runs beside.")
@_option("--tell", is_flag=True, help="Tell the tools the words that a new version changes.")
def serve(*, no_worker: bool, tell: bool, **flags: Any) -> None:
    """Serve the API.

    Example: statekeeper serve --database sqlite:///var/statekeeper.db --port 8000
    """
    _without_rich()
    from api.attending import Worker

    chosen = _settings(worker=not no_worker, tell=tell, **flags)
    with Worker(chosen) if chosen.worker else nullcontext() as attended:
        from api.serving import run  # it takes its time: the worker uses it too

        run(chosen, attended)


WORKER_NICENESS = 10
"""Beside a service that is asked all it can answer, lists and notices wait a little longer."""


@cli.command()
@_stored
@_option("--attached", is_flag=True, hidden=True, help="End when standard input ends.")
def worker(*, attached: bool, **flags: Any) -> None:
    """Keep lists up to date and tell the tools, until told to stop; any number may run.

    Example: statekeeper worker --database postgresql://keeper@db/keeper
    """
    _without_rich()
    import signal
    import threading

    from api.logs import configure
    from lifecycle.opening import open_journal  # noqa: F401 - read now, while the service reads its own
    from projections.worker import work

    stop = threading.Event()
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: stop.set())
    if attached:
        if not os.read(0, 1):  # whoever started this process could not serve
            return
        os.nice(WORKER_NICENESS)
        threading.Thread(target=_until_alone, args=(stop,), daemon=True).start()
    chosen = _settings(**flags)
    with _opened(**flags) as opened:
        configure(chosen.log_level)
        caught_up = _said_once("caught up") if attached else lambda: None
        work(opened.journal, chosen.database, os.environ, stop, caught_up)


def _without_rich() -> None:
    """Say that there is no `rich`, before anybody asks: a service paints no terminal.

    Libraries that write logs or send requests load it wherever it stands, just in case, which is an
    eighth of what a start costs.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # Python's own word for it


def _said_once(line: str) -> Callable[[], None]:
    """Say it to whoever started this process, the first time that this is called."""
    left = [line]
    return lambda: click.echo(left.pop()) if left else None


def _until_alone(stop: Any) -> None:
    """Stop when whoever started this process has gone: its end of the pipe closes."""
    while os.read(0, 1024):
        continue
    stop.set()


@cli.command()
@_stored
def rebuild(**flags: Any) -> None:
    """Build all lists anew from the log, while the service runs and serves the old ones.

    Example: statekeeper rebuild --database sqlite:///var/statekeeper.db
    """
    from time import perf_counter

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from projections.store import BeingRebuilt, open_store
    from projections.worker import rebuilt

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started, reached = perf_counter(), 0
    with _opened(there=True, **flags) as opened:
        journal = opened.journal
        store = open_store(_settings(**flags).database, opened.catalogue.lifecycles)
        try:
            with Progress(
                *columns, console=console, transient=True, disable=not console.is_terminal
            ) as bar:
                task = bar.add_task("rebuilding", total=journal.recorder.last_position())
                for reached in rebuilt(journal, store):
                    bar.update(task, completed=reached)
        except BeingRebuilt as exc:
            raise click.ClickException(str(exc)) from exc
        finally:
            store.close()
    took = perf_counter() - started
    click.echo(f"rebuilt up to position {reached} in {took:.1f} s")


@cli.command()
@click.argument("place", required=False, metavar="[DIR|FILE]")
@_option("--database", help="Tell also what adopting them over this database would do.")
@_option("--tell", is_flag=True, help="As `serve --tell` would adopt them: say whom it would tell.")
@_JSON
def check(place: str | None, *, database: str | None, tell: bool, as_json: bool) -> None:
    """Check definitions: every problem with file, line and path, and what would do.

    Example: statekeeper check definitions --database sqlite:///var/statekeeper.db
    """
    from lifecycle.catalogue import holds_connectors, load, load_connectors

    where = Path(place) if place else _settings().definitions
    names, problems = "", tuple[Problem, ...]()
    try:
        alone = holds_connectors(where)
        catalogue = load_connectors(where) if alone else load(where, os.environ)
        declared = [f"{one.name} {one.mark.version}" for one in catalogue.lifecycles.values()]
        names = ", ".join(declared or catalogue.connectors)
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
            click.echo(_foretold(one, tell=tell), err=bool(one.refused))
    if not fits:
        raise click.exceptions.Exit(1)


def _adoptions(where: Path, database: str) -> "list[Adoption]":
    """What adopting the definitions at this place over a database would do."""
    from lifecycle.adoption import foretell

    with _opened(there=True, database=database, definitions=str(where)) as opened:
        return list(foretell(opened.journal, opened.catalogue.lifecycles.values()))


def _foretold(one: "Adoption", *, tell: bool) -> str:
    if one.refused:
        return f"{one.lifecycle} {one.version} would be refused: {one.refused}"
    if not one.changes:
        return f"{one.lifecycle} {one.version} changes nothing"
    if one.adopted is None:
        return f"{one.lifecycle} {one.version} would be adopted, the first"
    return (
        f"{one.lifecycle} {one.version} would be adopted after {one.adopted}:"
        f" {one.open_cases} open cases, {len(one.carried)} of them under other names or in new"
        f" regions, {one.reworded} with another word in some tool{_telling(one, tell=tell)}"
    )


def _telling(one: "Adoption", *, tell: bool) -> str:
    """Whether the tools are told their new words, and of how many cases at most."""
    if not one.tells:
        return ""
    tells = ", ".join(f"{tool} of {cases}" for tool, cases in one.tells.items())
    return f", told to {tells}" if tell else " (told only by `serve --tell`)"


@cli.group()
def keys() -> None:
    """Issue, list and revoke keys.

    Example: statekeeper keys issue --staff "night shift" --read-only
    """
    _without_rich()


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
    if staff is not None and not (0 < len(staff) <= 80 and staff.isprintable()):  # noqa: PLR2004 - a bound that its message names
        raise click.UsageError("--staff: 1 to 80 printable characters")
    with _opened(**flags) as opened:
        declared = opened.catalogue.tools()
        if tool is not None and tool not in declared:
            raise click.ClickException(
                f"no definition names a tool {tool!r} (declared: {', '.join(declared)})"
            )
        made = issue(opened.journal, tool=tool, staff=staff, read_only=read_only)
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

    with _opened(there=True, **flags) as opened:
        found = issued(opened.journal)
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
            *([f"since {key.issued_at:%Y-%m-%d %H:%M} UTC"] if key.issued_at else []),
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

    with _opened(there=True, **flags) as opened:
        if not revoke(opened.journal, key_id):
            raise click.ClickException(
                f"no key {key_id!r} is honoured (see: statekeeper keys list)"
            )
    click.echo(f"revoked {key_id}")


@cli.command()
@click.argument("case", type=CaseNamed(), metavar="COLLECTION/ID")
@_stored
@_JSON
def why(case: tuple[str, str], *, as_json: bool, **flags: Any) -> None:
    """Say why a case is where it is.

    Example: statekeeper why jobs/J-1042
    """
    _without_rich()
    from projections.why import why as explained

    with _opened(there=True, **flags) as opened:
        found, entries, lifecycle = _looked_up(opened, case)
        answer = explained(found, entries, lifecycle, now=opened.journal.clock())
    if as_json:
        _print_json(answer)
        return
    click.echo(answer.answer)
    for event in answer.because:
        click.echo(f"  {event.time}  {event.sentence}")


@cli.command()
@click.argument("case", type=CaseNamed(), metavar="COLLECTION/ID")
@_stored
@_JSON
def history(case: tuple[str, str], *, as_json: bool, **flags: Any) -> None:
    """Show everything that happened to a case, oldest first.

    Example: statekeeper history jobs/J-1042
    """
    _without_rich()
    from projections.timeline import history as told

    with _opened(there=True, **flags) as opened:
        _, entries, lifecycle = _looked_up(opened, case)
        events = told(entries, lifecycle)
    if as_json:
        _print_json({"items": events})
        return
    for event in events:
        version = f"v{event.version}" if event.version else "beside"
        mark = "refused" if event.type == "Refused" else version
        click.echo(f"{event.time}  {mark:>7}  {event.sentence}")


@cli.command("import")
@click.argument("collection")
@click.argument("file", type=click.File("rb"), metavar="FILE|-")
@_option("--as", "staff", metavar="NAME", help="The member of staff who imports.")
@_option("--tool", help="The tool that imports, where it is no member of staff.")
@_option("--allow-refused", is_flag=True, help="Exit 0 also where lines were refused.")
@_stored
@_JSON
def import_lines(
    collection: str,
    file: BinaryIO,
    *,
    staff: str | None,
    tool: str | None,
    allow_refused: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Import many cases: one JSON object a line, applied in order; `-` reads standard input.

    In the same file again, what was applied changes nothing, and what was refused is decided anew.
    Where a line was refused, all others are applied, and the exit code is 1. Tools are not told of
    what changes.

    Example: statekeeper import jobs history.ndjson --as Operator
    """
    from rich.console import Console

    from api.door import Keeper
    from api.importing import begun, import_file, refused_lines, summary

    if (staff is None) == (tool is None):
        raise click.UsageError("name one of --as and --tool")
    with _opened(**flags) as opened:
        keeper = Keeper(opened.journal, opened.catalogue)
        coming = begun(keeper, collection, file.name, staff=staff, tool=tool)
        report = import_file(keeper, coming, file, Console(stderr=True))
    if as_json:
        _print_json(report)
    else:
        click.echo(summary(report))
    if report.stopped:
        raise click.ClickException(report.stopped)
    if (refused := refused_lines(report)) and not allow_refused:
        raise click.ClickException(
            f"{refused:,} of {report.lines:,} lines were refused (mend them and import the file"
            " again, or say --allow-refused)"
        )


@cli.command()
@_stored
@_JSON
def verify(*, as_json: bool, **flags: Any) -> None:
    """Look at every stream, key and row: exit 1 with what is wrong, and where.

    A service may run meanwhile.

    Example: statekeeper verify --database sqlite:///var/statekeeper.db
    """
    from api.verifying import report_lines
    from api.verifying import verify as verified
    from projections.store import find_store

    with _opened(there=True, **flags) as opened, _bar("verifying") as tell:
        store = find_store(_settings(**flags).database, opened.catalogue.lifecycles)
        try:
            report = verified(opened.journal, store, tell)
        finally:
            if store is not None:
                store.close()
    if as_json:
        _print_json(report)
    else:
        click.echo("\n".join(report_lines(report)))
    if report.problems_found:
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@_JSON
def copy(source: str, target: str, *, as_json: bool) -> None:
    """Copy a whole log into an empty database, and compare both sides: to move to another one.

    Stop the service first. Everything keeps its position and its version.

    Example: statekeeper copy sqlite:///var/statekeeper.db postgresql://statekeeper@db/statekeeper
    """
    from api.copying import copy as copied
    from api.logs import configure

    configure("error")
    with _bar("copying") as tell:
        done = copied(source, target, _settings().master_key, tell)
    if as_json:
        _print_json(done)
    else:
        click.echo(
            f"copied and compared: {done.events:,} events up to position {done.position:,},"
            f" {done.keys:,} keys ({done.seconds:.1f} s)"
        )


@cli.command()
@_option("--url", help="Where the service listens.  [the address it would listen on itself]")
@_stored
@_JSON
def demo(*, url: str | None, as_json: bool, **flags: Any) -> None:
    """Play some weeks of a field-service firm against a running service: something to look at.

    Keys for the tools are issued over the database, and revoked at the end.

    Example: statekeeper demo --url http://127.0.0.1:8000
    """
    from api.demo import PLAYED, TOOLS, play
    from api.keys import issue, revoke

    chosen = _settings(**flags)
    with _opened(there=True, **flags) as opened, _bar("playing") as tell:
        if missing := sorted(PLAYED - {one.name for one in opened.catalogue.lifecycles.values()}):
            raise click.ClickException(
                f"the demo plays {', '.join(sorted(PLAYED))}; not declared: {', '.join(missing)}"
            )
        journal = opened.journal
        issued = {tool: issue(journal, tool=tool) for tool in TOOLS}
        issued["staff"] = issue(journal, staff="Demo operator")
        try:
            played = play(
                url or f"http://{chosen.host}:{chosen.port}",
                {who: key.key for who, key in issued.items()},
                journal,
                tell,
            )
        finally:
            for key in issued.values():
                revoke(journal, key.id)
    if as_json:
        _print_json(played)
        return
    states = ", ".join(f"{count} {state}" for state, count in played.states.items())
    click.echo(f"{played.asks} asks were played. Jobs: {states}. Look at:")
    for what, case in played.look_at.items():
        click.echo(f"  statekeeper why {case:<16} {what}")
    click.echo("Staff sign in with their key, and see:")
    for what, address in played.pages.items():
        click.echo(f"  {address:<32} {what}")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, on terminals; called with how far it is and how far it goes."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _looked_up(opened: Opened, case: tuple[str, str]) -> tuple[Any, Any, Any]:
    from lifecycle.asks import Ask, Look
    from lifecycle.events import Asker
    from lifecycle.streams import streams_about

    collection, case_id = case
    ask = Ask(asker=Asker(), collection=collection, id=case_id, what=Look())
    found = opened.journal.answer_now(ask).case
    journal = opened.journal
    lifecycle = opened.catalogue.lifecycles[collection]
    streams = streams_about(collection, case_id, lifecycle.declaration.tools)
    entries = [journal.mapper.to_domain_event(one) for one in journal.recorder.streams(streams)]
    return found, entries, lifecycle


def _settings(**flags: Any) -> Settings:
    try:
        return settings(os.environ, **flags)
    except ValueError as exc:
        raise click.ClickException(str(exc)) from exc


@contextmanager
def _opened(*, there: bool = False, **flags: Any) -> Iterator["Opened"]:
    """The journal of the database set, beside whatever service runs over it.

    Where one has to be `there`, none is made.
    """
    from api.logs import configure
    from lifecycle.catalogue import load
    from lifecycle.opening import open_journal

    chosen = _settings(**flags)
    configure("error")
    _, is_sqlite, file = chosen.database.rpartition("sqlite:///")
    if is_sqlite and there and not Path(file).exists():
        raise click.ClickException(f"there is no database {file}")
    catalogue = load(chosen.definitions, os.environ)
    journal = open_journal(chosen.database, catalogue.lifecycles, chosen.master_key)
    try:
        yield Opened(journal, catalogue)
    finally:
        journal.stop()
        journal.recorder.close()


def _print_json(value: object) -> None:
    from api.problems import JSON

    click.echo(msgspec.json.format(JSON.encode(value), indent=2).decode())
