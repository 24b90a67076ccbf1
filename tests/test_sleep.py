"""What docs/sleep.md promises a sleeper, day and night."""

from datetime import UTC, datetime, timedelta

import pytest

from custom_components.smart_rings.rings.models import Phase, Sleep, Stage
from custom_components.smart_rings.sleep import (
    fell_asleep,
    figures,
    last_night,
    to_announce,
    woke_up,
)

MINUTE = timedelta(minutes=1)


def at(clock: str, day: int = 18) -> datetime:
    """Return a time of November 2026; the rules know no time zone."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def sleep(start: datetime, end: datetime, *stages: tuple[Stage, int], nap: bool = False) -> Sleep:
    phases, begin = [], start
    for stage, minutes in stages:
        phases.append(Phase(stage, begin, begin + minutes * MINUTE))
        begin += minutes * MINUTE
    return Sleep(start, end, tuple(phases), nap)


NIGHT = sleep(at("23:00", 17), at("07:00"))
EARLIER = sleep(at("23:30", 16), at("06:30", 17))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at("07:00"), NIGHT),
        (at("12:00"), NIGHT),
        (at("00:59", 19), NIGHT),
        (at("01:00", 19), None),
        (at("07:10", 19), None),
        (at("06:59"), None),
        (at("00:29"), EARLIER),
    ],
    ids=["waking", "noon", "late", "too late", "next morning", "before waking", "night before"],
)
def test_a_night_is_last_night_for_eighteen_hours(now: datetime, expected: Sleep | None) -> None:
    assert last_night([EARLIER, NIGHT], now) is expected


def test_a_nap_is_never_last_night() -> None:
    nap = sleep(at("13:00"), at("13:40"), nap=True)
    assert last_night([NIGHT, nap], at("14:00")) is NIGHT
    assert last_night([nap], at("14:00")) is None


def test_of_two_nights_in_a_day_the_later_is_last_night() -> None:
    """Also when it was short, and whatever order they are known in."""
    early, late = sleep(at("08:00"), at("13:00")), sleep(at("17:00"), at("19:30"))
    assert last_night([late, early], at("16:00")) is early
    assert last_night([late, early], at("20:00")) is late


def test_fell_asleep_and_woke_up_leave_out_lying_awake() -> None:
    night = sleep(
        at("22:00", 17),
        at("06:30"),
        (Stage.AWAKE, 20),
        (Stage.LIGHT, 300),
        (Stage.AWAKE, 10),
        (Stage.REM, 150),
        (Stage.AWAKE, 30),
    )
    assert fell_asleep(night) == at("22:20", 17)
    assert woke_up(night) == at("06:00")
    assert figures(night) == {"sleep": 450, "light_sleep": 300, "rem_sleep": 150, "awake": 60}


def test_a_sleep_that_ends_unknown_ends_there() -> None:
    night = sleep(at("22:00", 17), at("06:30"), (Stage.LIGHT, 300), (Stage.UNKNOWN, 210))
    assert (fell_asleep(night), woke_up(night)) == (at("22:00", 17), at("06:30"))


@pytest.mark.parametrize("stages", [(), ((Stage.AWAKE, 480),)], ids=["no stages", "all awake"])
def test_a_sleep_without_sleep_stages_is_as_long_as_it_is(
    stages: tuple[tuple[Stage, int], ...],
) -> None:
    night = sleep(NIGHT.start, NIGHT.end, *stages)
    assert (fell_asleep(night), woke_up(night)) == (NIGHT.start, NIGHT.end)
    assert "sleep" not in figures(night)


@pytest.mark.parametrize(
    ("known_at", "now", "expected"),
    [
        (at("07:15"), at("08:30"), []),
        (at("07:15"), at("08:45"), [NIGHT]),
        (at("20:00"), at("21:30"), [NIGHT]),
        (at("22:00"), at("01:00", 19), []),
    ],
    ids=["may still grow", "final", "late but recent", "too long ago"],
)
def test_a_night_is_announced_when_final_and_recent(
    known_at: datetime, now: datetime, expected: list[Sleep]
) -> None:
    assert to_announce({NIGHT: known_at}, {}, now) == expected


def test_what_was_announced_is_not_again_however_it_changed() -> None:
    now = at("12:00")
    grown = sleep(NIGHT.start - 5 * MINUTE, NIGHT.end + 40 * MINUTE)
    for version in (NIGHT, grown):
        assert not to_announce({version: at("09:00")}, {"night": NIGHT.end}, now)


def test_nights_and_naps_are_announced_apart_and_in_order() -> None:
    nap = sleep(at("13:00"), at("13:40"), nap=True)
    second = sleep(at("14:00"), at("18:00"))
    known = dict.fromkeys([second, nap, NIGHT], at("18:05"))
    assert to_announce(known, {}, at("20:00")) == [NIGHT, nap, second]
    assert to_announce(known, {"night": NIGHT.end}, at("20:00")) == [nap, second]
