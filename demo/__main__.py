"""scripts/demo: a real Home Assistant with virtual rings, to click through or to check."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import asdict
import json
from pathlib import Path
import signal
import sys
import time

from tzlocal import get_localzone_name

from . import check, home_with_rings
from .home_assistant import PASSWORD, USER, complaints

EPILOG = """\
Without options a Home Assistant with nothing but the virtual rings starts on this machine. Log in
with the printed user and password; Settings > Devices & services shows the rings that were
discovered. Ctrl-C ends everything and leaves nothing behind.
"""


def main() -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="A real Home Assistant with virtual rings.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="add all rings, compare what is shown, and end"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --check: write the result")
    parser.add_argument(
        "--tz", default=get_localzone_name(), help="time zone (default: %(default)s)"
    )
    parser.add_argument(
        "--ring",
        action="append",
        default=[],
        metavar="MODEL",
        help="a ring in the air, repeatable (default: those of python -m ringsim)",
    )
    options = parser.parse_args()
    return asyncio.run(_until_interrupted(options))


async def _until_interrupted(options: argparse.Namespace) -> int:
    """Run, and end the children in order whichever way we are asked to end, and how often."""
    work = asyncio.ensure_future(_run(options))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(
            number, lambda: work.cancelling() or work.cancel()
        )
    try:
        return await work
    except asyncio.CancelledError:
        return 130 if options.check else 0


async def _run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    rings = [argument for model in options.ring for argument in ("--ring", model)]
    async with home_with_rings(options.tz, *rings) as (home, simulator):
        if not options.check:
            print(f"Home Assistant: {home.url}\nUser: {USER}\nPassword: {PASSWORD}")
            print("Rings wait under Settings > Devices & services. Ctrl-C ends all.", flush=True)
            await home.until_ended()
            return 1
        rows, faults = [], []
        try:
            rows = await check.run(home, simulator)
        except (RuntimeError, TimeoutError) as err:
            faults.append(f"Broken off: {err!r}")
        faults += [f"In the log: {record}" for record in complaints(home.log)]
        faults += [
            f"Harm was sent to {ring['name']}: {ring['abuse']}"
            for ring in await simulator.ask("rings")
            if ring["abuse"]
        ]
    _print_table(rows)
    print(*faults, sep="\n")
    right = sum(row.right for row in rows)
    seconds = round(time.monotonic() - started, 1)
    print(f"{right} of {len(rows)} right, {len(faults)} other faults, {seconds} s")
    passed = bool(rows) and right == len(rows) and not faults
    if options.json:
        result = {"passed": passed, "seconds": seconds, "faults": faults}
        table = [asdict(row) | {"right": row.right} for row in rows]
        options.json.write_text(json.dumps(result | {"rows": table}, indent=1), encoding="utf-8")
    return 0 if passed else 1


def _print_table(rows: Sequence[check.Row]) -> None:
    lines = [["RING", "ENTITY", "STATE", "UNIT", "SIMULATOR", ""]]
    for row in rows:
        texts = [row.ring, row.entity, row.state or "(missing)", row.unit or ""]
        lines.append([*texts, row.truth or "(missing)", "" if row.right else "!"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(map(str.ljust, line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
