"""Time what a recorded night costs: decoding beside a loop over its records, and its figures."""

from collections.abc import Callable
from datetime import datetime, timedelta
import time

from custom_components.smart_rings.rings.analysis import figures
from custom_components.smart_rings.rings.recordings import HEADER, PULSE, SPO2, TRAILER, parse
from tests.rings.fake_oximeter import format_a

RUNS = 7
EIGHT_HOURS = 8 * 3600


def naive(data: bytes) -> list[tuple[int | None, int | None, int]]:
    """Read the records one by one, as the tools for these rings do."""
    rows = []
    for at in range(HEADER, len(data) - TRAILER, 3):
        spo2, pulse, status = data[at : at + 3]
        rows.append(
            (spo2 if spo2 in SPO2 else None, pulse if pulse in PULSE else None, status & 0x3F)
        )
    return rows


def best(job: Callable[[], object]) -> float:
    """Return the shortest time of several runs, in milliseconds."""

    def once() -> float:
        began = time.perf_counter()
        job()
        return 1000 * (time.perf_counter() - began)

    return min(once() for _ in range(RUNS))


def main() -> None:
    """Print the times for a night of eight hours, a sample a second."""
    data = format_a(EIGHT_HOURS, datetime.fromisoformat("2026-11-20T23:00:00"))
    night = parse(data)
    print(f"night of {len(night)} samples, {len(data)} bytes")
    print(f"  decode in columns  {best(lambda: parse(data)):8.2f} ms")
    print(f"  decode in a loop   {best(lambda: naive(data)):8.2f} ms")
    interval = timedelta(seconds=night.interval_s)
    taken = best(lambda: figures(night.spo2, night.pulse, interval))
    print(f"  figures            {taken:8.2f} ms")


if __name__ == "__main__":
    main()
