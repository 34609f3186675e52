"""python -m spymaster_live: the live service, its parts, and what to ask of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import nats.errors
import nats.js.errors
import orjson

from spymaster_assets import logs
from spymaster_assets.config import LOG, data_root, load, name_data
from spymaster_assets.dbn import DbnError
from spymaster_assets.finding import Finding
from spymaster_assets.ingest import MissingInput
from spymaster_assets.lake import Lake, LakeError, opened
from spymaster_assets.logs import Failure, say
from spymaster_assets.object_store import StoreError
from spymaster_assets.progress import terminal
from spymaster_assets.sessions import NotATradingDate, calendar
from spymaster_assets.version import VERSION
from spymaster_live import bus, health, messages

STOP_SECONDS = 3.0  # after which a part that was asked to stop is asked again

url = click.option(
    "--nats",
    "url",
    default=lambda: os.environ.get("NATS_URL", bus.URL),
    show_default=bus.URL,
    help="Server, or those of a cluster with a comma between.",
)
trading_date = click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="Trading date (default: the latest in landing).")


@click.group()
@click.version_option(VERSION, prog_name="spymaster_live")
@click.option("--data", help="The data folder, or s3://BUCKET/PREFIX (default: SPYMASTER_DATA, else ./data).")
@click.option("--verbose", is_flag=True, help="Say more.")
@click.option("--log", "wanted", type=click.Choice(["text", "json"]), help="How it logs (default: SPYMASTER_LOG, else text).")
@click.pass_context
def main(context: click.Context, data: str | None, verbose: bool, wanted: str | None) -> None:
    """Spymaster live: a replay or live feed, the engine, and a bus between them."""
    if wanted is not None:
        os.environ[LOG] = wanted
    try:
        logs.begin(context.invoked_subcommand, verbose)
        if data is not None:
            name_data(data)
    except ValueError as error:
        raise click.ClickException(str(error)) from error  # in which format is not known
    logging.getLogger("asyncio").addFilter(lambda record: "eof_received" not in record.getMessage())  # at every close of TLS


def _lake() -> Lake:
    try:
        return opened(load())
    except (LakeError, StoreError) as error:
        raise Failure(str(error)) from error


def _date(lake: Lake, said: dt.datetime | None) -> dt.date:
    """The trading date that was named, else the latest that landing holds a book of."""
    if said is not None:
        return calendar(lake.config).require(said.date())
    from spymaster_assets.landing import dates_served, landing_of

    files = landing_of(lake).scan()
    found = [date for file in files if file.holds("mbp-10", "futures") for date in dates_served(file, lake.config)]
    if not found:
        raise MissingInput(f"no MBP-10 in {lake.root / 'landing'}: put Databento files there, or run `make demo`")
    return max(found)


def _run(work: Callable[[], Awaitable[Any]], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Any:
    """Run until done; SIGTERM is as Ctrl-C. Trouble with files and dates is one sentence. `loop`: makes another event loop."""

    async def whole() -> Any:
        task, running = asyncio.ensure_future(work()), asyncio.get_running_loop()

        def stop() -> None:
            if not task.done():
                task.cancel()
                running.call_later(STOP_SECONDS, stop)  # Python's wait_for may lose a cancellation (before 3.12)

        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, stop)
        try:
            return await task
        except asyncio.CancelledError:
            return None

    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(whole())
    except nats.errors.NoRespondersError as error:
        raise Failure("no replay is running on that bus") from error
    except nats.js.errors.APIError as error:
        raise Failure(f"the server says: {error.description}") from error
    except (MissingInput, DbnError, LakeError, StoreError, NotATradingDate, bus.Fenced, RuntimeError, ValueError) as error:
        raise Failure(str(error)) from error


@main.command()
@url
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if something would be.")
def provision(url: str, check: bool) -> None:
    """Make the streams and the key-value bucket, or bring them to what the configuration says."""

    async def work() -> list[str]:
        async with bus.connected(url, "provision", patient=not check) as client:
            await bus.answering(client)
            return await bus.provision(client, load(), check)

    told = _run(work)
    if told is not None:
        click.echo("\n".join(told or [f"{bus.MARKET}, {bus.LEVELS}, {bus.DLQ} and {bus.STATE} are as they should be"]))
        sys.exit(1 if check and told else 0)


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", "hosts", multiple=True, help="A name or address under which the servers are reached; may be repeated.")
@click.option("--renew", multiple=True, help="What to make anew though it is there: a service, ca, certificates, token, postgres.")
def keys(folder: Path, hosts: tuple[str, ...], renew: tuple[str, ...]) -> None:
    """Make the keys that FOLDER lacks, and what a secured server needs; what is there stays, unless it is renewed."""
    from spymaster_live.keys import RENEWABLE, make

    if unknown := sorted({*renew} - {*RENEWABLE}):
        raise Failure(f"--renew {unknown[0]}: expected one of {', '.join(RENEWABLE)}")
    try:
        written = make(folder, hosts, renew)
    except (OSError, RuntimeError) as error:
        raise Failure(str(error)) from error
    click.echo("\n".join(f"wrote {path}" for path in written))


@main.command("health")
@url
@click.argument("name")
@click.option("--seconds", type=click.FloatRange(0), help="Unhealthy, too, if what it is at takes longer than this.")
@click.option("--monitor", default=health.MONITOR, show_default=True, help="Of a nats-server, on its own machine.")
def _health(url: str, name: str, seconds: float | None, monitor: str) -> None:
    """Ask feed, engine, writer or gateway, or nats itself, whether it works; exit code 1 if not."""

    async def work() -> dict[str, Any]:
        if name == "nats":
            return health.of_server(monitor)
        async with bus.connected(url, f"health of {name}", patient=False) as client:
            return await health.ask(client, name)

    state = _run(work)
    if state is None:
        sys.exit(1)
    if seconds is not None and (state.get("age") or 0.0) > seconds:
        state |= {"ok": False, "why": f"at the same work for {state['age']:.0f} s"}
    click.echo(orjson.dumps(state).decode())
    sys.exit(0 if state["ok"] else 1)


@main.command("doctor")
@url
@click.pass_context
def diagnose(context: click.Context, url: str) -> None:
    """Ask every part whether it works, and whether the engine stands still; exit code 1 if one does not."""
    from spymaster_live.doctor import examine

    named = "NATS_URL" in os.environ or context.get_parameter_source("url") is not click.core.ParameterSource.DEFAULT

    async def work() -> list[Finding]:
        try:
            async with bus.connected(url, "doctor", patient=False) as client:
                return await examine(client, load())
        except bus.Absent as error:
            return [Finding(not named, str(error) if named else f"live does not run: no bus at {bus.URL}")]
        except bus.Denied as error:
            return [Finding(False, str(error))]

    found = _run(work) or []
    click.echo("\n".join(map(str, found)))
    sys.exit(0 if all(one.well for one in found) else 1)


@main.command()
@url
@trading_date
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(0, 1000), help="Times real time; 0: as fast as possible."
)
@click.option("--from", "begin", metavar="HH:MM", help="New York time from which on it is paced; what lies before runs at once.")
@click.option("--join", metavar="HH:MM", help="As if one had joined late: nothing before this New York time is sent.")
@click.option("--paused", is_flag=True, help="Wait for `control start` (after --from).")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--frame-records", default=0, type=click.IntRange(0), help="Records in a frame at most (0: as many as fit).")
@click.option(
    "--live",
    is_flag=True,
    help="From the vendor: --date alone, else the running session, the next, and so on. Key: docs/operate.md.",
)
def feed(
    url: str,
    date: dt.datetime | None,
    speed: float,
    begin: str | None,
    join: str | None,
    paused: bool,
    quiet: bool,
    frame_records: int,
    live: bool,
) -> None:
    """Replay a trading date's landing files, or publish what the vendor sends (--live). Killed, it goes on where it was."""
    if live:
        if begin or join or paused or frame_records:
            raise Failure("--from, --join, --paused and --frame-records belong to a replay, not to --live")
        _live(url, date)
        return
    from spymaster_live.feed import Pace, Replay, moment, plan

    async def work() -> str:
        lake = _lake()
        day = _date(lake, date)
        start = 0 if begin is None else moment(begin, day, lake.config)
        joined = None if join is None else moment(join, day, lake.config)
        planned = plan(lake, day, speed, frame_records, start, joined, None if quiet else terminal())
        pace = Pace(speed, free=start, paused=paused)
        async with bus.connected(url, "feed") as client:
            return await Replay(client, planned, pace, lake.config.live.window).run()

    run = _run(work)
    if run is not None:
        say(f"run {run} is published")


def _live(url: str, date: dt.datetime | None) -> None:
    """The feed from the vendor."""
    from spymaster_live.live_dates import LiveDates
    from spymaster_live.vendor import api_key

    async def work() -> str:
        lake, key = _lake(), api_key()
        day = None if date is None else calendar(lake.config).require(date.date())
        async with bus.connected(url, "feed") as client:
            return await LiveDates(client, lake, key, day).run()

    run = _run(work)
    if run is not None:
        say(f"run {run} is published")


@main.command()
@url
@click.option("--name", default="engine", show_default=True, help="Tells two engines apart in levels.status.")
@click.option("--until-done", is_flag=True, help="End when the run's date is over.")
def engine(url: str, name: str, until_done: bool) -> None:
    """Compute levels, touches, features and scores of the run on the bus."""
    from spymaster_live.rehearsal import rehearse
    from spymaster_live.serving import Serving

    async def work() -> None:
        lake = _lake()
        rehearse(lake.config)
        async with bus.connected(url, name) as client:
            await Serving(client, lake.config, name, lake).run(until_done)

    _run(work)


@main.command()
@url
@click.option("--until-done", is_flag=True, help="End when a run's date is over, handed over, and an engine has said all of it.")
def writer(url: str, until_done: bool) -> None:
    """Capture everything on the bus below DATA/capture; a complete date is handed over to landing."""
    from spymaster_live.writer import Writer

    async def work() -> Writer:
        lake = _lake()
        try:
            lake.name()  # runs of two instruments would lie side by side, and be taken for one another's
        except OSError as error:
            raise Failure(f"{lake.root}: {error}") from error
        async with bus.connected(url, "writer") as client:
            capturing = Writer(client, lake)
            await capturing.run(until_done)
            return capturing

    done = _run(work)
    for run, told in done.handed.items() if done else ():
        say(f"run {run}: {told}")


@main.command("hand-over")
@click.argument("date", type=click.DateTime(["%Y-%m-%d"]))
@click.option("--run", help="The run (default: the latest that is complete).")
def hand_over_date(date: dt.datetime, run: str | None) -> None:
    """Make landing files of a captured DATE, and compare them with the vendor's."""
    from spymaster_live.handover import hand_over, in_words, reconcile

    try:
        click.echo(hand_over(_lake(), date.date(), run))
        click.echo("".join(f"{line}\n" for line in in_words(reconcile(_lake(), date.date()))), nl=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise Failure(str(error)) from error


@main.command()
@click.argument("date", type=click.DateTime(["%Y-%m-%d"]), required=False)
def verify(date: dt.datetime | None) -> None:
    """Read every captured file (of a DATE) again and compare it with what was written."""
    from spymaster_live import capture

    folders = capture.runs(data_root() / capture.FOLDER, str(date.date()) if date else "*")
    try:
        found = [wrong for folder in folders for wrong in capture.verify(folder)]
    except capture.CaptureError as error:
        raise Failure(str(error)) from error
    click.echo("\n".join([*found, f"{len(folders)} runs: {f'{len(found)} files are not what was written' if found else 'sound'}"]))
    sys.exit(1 if found else 0)


@main.command()
@url
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond this machine only with token and TLS.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Certificate (PEM).")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its key (PEM).")
@click.option("--writer", is_flag=True, help="A writer belongs to it: not ready without one.")
def gateway(url: str, host: str, port: int, tls_cert: Path | None, tls_key: Path | None, writer: bool) -> None:
    """Tell browsers what the engine says: WebSocket, REST, metrics. Token: SPYMASTER_GATEWAY_TOKEN_FILE."""
    import uvloop

    from spymaster_live.gateway.serving import Gateway

    async def work() -> None:
        if (tls_cert is None) != (tls_key is None):
            raise ValueError("--tls-cert and --tls-key belong together")
        await Gateway(url, _lake(), host, port, tls_cert, tls_key, writer).run()

    _run(work, uvloop.new_event_loop)


@main.command()
@click.argument("address", default="http://127.0.0.1:8000")
def watch(address: str) -> None:
    """Print the latest levels, a line a second of the market's clock and in its zone: what ADDRESS's page shows.

    Token as of the gateway."""
    from spymaster_live.client import Stream, line
    from spymaster_live.gateway.guard import token

    zone = load().sessions.market_zone

    async def work() -> None:
        second = 0
        async with Stream(address, token(), ["signals"]) as stream:
            async for message in stream:
                data = message["data"]["signals"] if message["type"] == "snapshot" else message["data"]
                if data and data[-1]["ts"] // 1_000_000_000 != second:
                    second = data[-1]["ts"] // 1_000_000_000
                    click.echo(line(data[-1], zone))

    _run(work)


@main.command()
@url
@trading_date
@click.option("--run", help="The run (default: the latest).")
def parity(url: str, date: dt.datetime | None, run: str | None) -> None:
    """Compare what a run said with what Dagster stored, byte for byte."""
    from spymaster_live.parity import differences, said, verdict

    async def work() -> tuple[str, list[str], dict[str, int]]:
        async with bus.connected(url, "parity", patient=False) as client:
            session = await bus.last(client, bus.MARKET, messages.SESSION)
            if session is None:
                raise RuntimeError("no run on the bus")
            facts = session.headers or {}
            name, day = run or facts["Run"], dt.date.fromisoformat((run or facts["Run"]).rsplit(".", 1)[0])
            return name, *differences(_lake(), date.date() if date else day, await said(client, name))

    found = _run(work)
    if found is None:
        return
    name, told, counts = found
    click.echo(verdict(name, told, counts))
    sys.exit(1 if told else 0)


@main.command()
@url
@click.argument("do", type=click.Choice(["start", "pause", "step", "seek", "speed", "state"]))
@click.argument("value", required=False)
def control(url: str, do: str, value: str | None) -> None:
    """Steer a replay: start, pause, step [SECONDS], seek HH:MM[:SS], speed TIMES, state."""
    names = {"step": "seconds", "seek": "to", "speed": "speed"}
    if value is None and do in ("seek", "speed"):
        raise click.UsageError(f"{do}: expected {'a New York time, HH:MM[:SS]' if do == 'seek' else 'TIMES real time'}")
    wanted = {"do": do} | ({names[do]: value} if value is not None and do in names else {})

    async def work() -> dict[str, Any]:
        async with bus.connected(url, "control", patient=False) as client:
            answer = await client.request(messages.CONTROL, orjson.dumps(wanted), timeout=5)
            return dict(orjson.loads(answer.data))

    state = _run(work)
    if state is not None and "error" in state:
        raise Failure(state["error"])
    if state is not None:
        click.echo(orjson.dumps(state, option=orjson.OPT_INDENT_2).decode())


@main.command()
@click.option("--check", is_flag=True, help="Only say whether it is up to date.")
def docs(check: bool) -> None:
    """Write docs/live.md."""
    from spymaster_live.reference import markdown

    page, text = Path(__file__).parents[1] / "docs" / "live.md", markdown()
    if not page.parent.is_dir():
        raise Failure(f"{page.parent} is not there: the page belongs to a checkout")
    if not check:
        page.write_text(text)
    elif not page.exists() or page.read_text() != text:
        raise Failure(f"{page} is not what spymaster_live says; run `make docs`")


@main.command("all")
@trading_date
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(0, 1000), help="Times real time; 0: as fast as possible."
)
@click.option("--from", "begin", metavar="HH:MM", help="New York time from which on it is paced.")
@click.option("--port", default=4222, show_default=True, help="Of the NATS server.")
@click.option("--until-done", is_flag=True, help="End when the date is over, and compare with Dagster's Silver if it is there.")
@click.option("--capture", is_flag=True, help="With a writer: everything on the bus to disk.")
@click.option("--gateway-port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: no gateway.")
@click.option("--live", is_flag=True, help="The feed is the vendor's, not a replay (feed --live).")
def everything(
    date: dt.datetime | None, speed: float, begin: str | None, port: int, until_done: bool, capture: bool, gateway_port: int,
    live: bool,
) -> None:  # fmt: skip
    """A server of its own, streams, feed, engine, gateway (and a writer) in one go. Ctrl-C ends all of them."""
    from spymaster_live.feed import moment
    from spymaster_live.together import together

    lake = _lake()
    try:
        if live:
            words = ("--live", *(() if date is None else ("--date", str(calendar(lake.config).require(date.date())))))
        else:
            day = _date(lake, date)
            if begin:
                moment(begin, day, lake.config)
            words = ("--date", str(day), "--speed", str(speed), *(("--from", begin) if begin else ()), "--quiet")
    except (MissingInput, NotATradingDate, ValueError) as error:
        raise Failure(str(error)) from error
    sys.exit(together(lake, words, port, until_done, capture, gateway_port))


if __name__ == "__main__":
    main()
