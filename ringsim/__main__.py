"""Run virtual rings behind virtual Bluetooth proxies until Ctrl-C."""

import argparse
import asyncio
from datetime import timedelta, tzinfo
import json
import os
from pathlib import Path
import signal
from zoneinfo import ZoneInfo

from .control import Control
from .proxy import Proxy, address_text
from .radio import PROFILES, Radio
from .rings import MODELS, OXIMETERS
from .rings.base import VirtualRing

DEFAULT_RINGS = ("r02", "r09", "r10", "r12", "o2ring", "o2ring_s_aes")
# Oximeters that are on a finger, whatever the hour; the others lie on their chargers.
WORN = frozenset(("o2ring",))
FIRST_RING = 0xC0DE00000001
# How long they have something to record while this runs.
AHEAD = timedelta(days=7)
# Locally administered; the Bluetooth address of a proxy is the next one.
FIRST_PROXY = 0x02C0DE000000

EPILOG = """\
To try the integration in a Home Assistant of yours without owning a ring:

  1. Here:  python -m ringsim --host 0.0.0.0
     (--host 127.0.0.1, the default, when Home Assistant runs on this machine)
  2. There: Settings > Devices & services > Add integration > ESPHome; enter this machine's
     address and port 6053. It needs no password and no encryption key.
  3. The rings are then discovered on that page. Some tell their name only to active
     scanning, as real ones do: found after "Add integration > Smart Rings", or some minutes later.

Anyone who reaches the proxy's port can talk to the virtual rings, so open it in your own network
only. Delete the ESPHome device when you are done.

The first line of the output is a JSON object: ports, proxies and rings. The control port listens
on 127.0.0.1 and takes one JSON object per line, such as {"do": "rings"}, or
{"do": "set", "ring": "C0:DE:00:00:00:01", "path": "battery", "value": 20}; see ringsim/control.py.
"""


def main() -> None:
    """Read the command line and run."""
    asyncio.run(run(parser().parse_args()))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    models = ", ".join(MODELS)
    described = argparse.ArgumentParser(
        "python -m ringsim",
        description="Virtual smart rings behind a virtual ESPHome Bluetooth proxy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = described.add_argument
    add("--host", default="127.0.0.1", help="interface of the proxies (default %(default)s)")
    add("--port", type=int, default=6053, help="first proxy's port, 0: any (default %(default)s)")
    add("--control-port", type=int, default=0, help="control port, 0: any (default %(default)s)")
    add("--profile", choices=PROFILES, default="realistic", help="timing (default %(default)s)")
    add("--proxies", type=int, default=1, metavar="N", help="how many (default %(default)s)")
    add("--slots", type=int, default=3, help="connections per proxy (default %(default)s)")
    add(
        "--ring",
        action="append",
        type=str.lower,
        choices=MODELS,
        metavar="MODEL",
        help=f"a ring in the air, repeatable (default {', '.join(DEFAULT_RINGS)}); of: {models}",
    )
    add("--days", type=int, default=7, help="days it has recorded (default %(default)s)")
    add("--seed", type=int, default=1, help="of what it has recorded (default %(default)s)")
    add("--tz", type=ZoneInfo, help="the wearer's time zone (default: this machine's)")
    return described


async def run(options: argparse.Namespace) -> None:
    """Bring all of it up, say so, and take it down on Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    radio = Radio(PROFILES[options.profile])
    for ring in make_rings(options):
        radio.add(ring)
    proxies = make_proxies(radio, options)
    control = Control(radio, proxies)
    try:
        for proxy in proxies:
            await proxy.start()
        async with await control.serve(options.control_port) as server:
            radio.start()
            ready = {
                "ready": True,
                "control": server.sockets[0].getsockname()[1],
                "proxies": control.proxies(),
                "rings": control.rings(),
            }
            print(json.dumps(ready), flush=True)
            await stop.wait()
            server.close_clients()
    finally:
        radio.stop()
        for proxy in proxies:
            await proxy.stop()


def make_rings(options: argparse.Namespace) -> list[VirtualRing]:
    """Make the rings asked for, each with its own address and past."""
    models = options.ring or DEFAULT_RINGS
    zone = options.tz or machine_zone()
    return [
        MODELS[model](
            address=address_text(FIRST_RING + number),
            seed=options.seed + number,
            days=options.days,
            zone=zone,
            ahead=AHEAD,
            **({"worn": model in WORN} if model in OXIMETERS else {}),
        )
        for number, model in enumerate(models)
    ]


def make_proxies(radio: Radio, options: argparse.Namespace) -> list[Proxy]:
    """Make the proxies asked for, on ports in a row."""
    return [
        Proxy(
            radio,
            f"ringsim-{number + 1}",
            address_text(FIRST_PROXY + 16 * number),
            host=options.host,
            port=options.port and options.port + number,
            slots=options.slots,
        )
        for number in range(options.proxies)
    ]


def machine_zone() -> tzinfo:
    """Return the time zone of this machine, with its rules."""
    if name := os.environ.get("TZ"):
        return ZoneInfo(name)
    local = Path("/etc/localtime")
    if not local.exists():
        return ZoneInfo("UTC")
    with local.open("rb") as rules:
        return ZoneInfo.from_file(rules)


if __name__ == "__main__":
    main()
