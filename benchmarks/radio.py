"""Count what goes over the air with each virtual Colmi ring, and time the loop in a first contact.

The longest callback is CPU time of its thread, best of five; the virtual ring's own work is in it.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from benchmarks.archive import RUNS, longest_callback
from ringsim.radio import Packet
from ringsim.rings.colmi import COLMI
from tests.rings.wearer import Wearer
from tests.virtual_time import virtual_time

STEPS = (
    ("first contact, seven days", timedelta()),
    ("a minute later, nothing new", timedelta(minutes=1)),
    ("15 minutes later", timedelta(minutes=15)),
    ("an hour later", timedelta(hours=1)),
    ("three days later", timedelta(days=3)),
)


async def count(model: str) -> None:
    """Print what each contact takes: seconds, requests, notifications, bytes, what is asked.

    The virtual radio takes no time: the seconds are those of silence and of waiting.
    """
    with virtual_time(asyncio.get_running_loop()):
        wearer = Wearer(model)
        for name, pause in STEPS:
            await asyncio.sleep(pause.total_seconds())
            wearer.radio.log.clear()
            began = wearer.loop.time()
            await wearer.contact()
            seconds = wearer.loop.time() - began
            print(f"{model:4} {name:28} {seconds:4.1f} s {_line(wearer.radio.log)}")


async def longest_in_first_contact(model: str) -> float:
    """Return the milliseconds of CPU of the longest callback of a seven-day sync."""
    with virtual_time(asyncio.get_running_loop()):
        wearer = Wearer(model)
        with longest_callback() as longest:
            await wearer.contact()
            return longest()


def _line(log: Iterable[Packet]) -> str:
    asked = [p.value for p in log if p.to_ring and p.value]
    told = [p.value for p in log if not p.to_ring]
    kinds = " ".join(sorted({_kind(value) for value in asked}))
    return f"{len(asked):3} requests {len(told):4} answers {sum(map(len, told)):6} bytes  {kinds}"


def _kind(request: bytes) -> str:
    return request[:2].hex() if request[0] == 0xBC else request[:1].hex()


if __name__ == "__main__":
    for key in COLMI:
        asyncio.run(count(key))
        best = min(asyncio.run(longest_in_first_contact(key)) for _ in range(RUNS))
        print(f"{key:4} longest callback of the first contact: {best:.1f} ms")
