"""Ring time ↔ UTC."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from custom_components.smart_rings.rings.clock import Clock
from custom_components.smart_rings.rings.models import ClockSetting, RingMemory

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


def clock(now: str, *settings: tuple[str, int], zone: ZoneInfo = AMSTERDAM) -> Clock:
    stored = [ClockSetting(at(when), offset * HOUR) for when, offset in settings]
    return Clock(stored, zone, lambda: at(now))


def test_record_before_any_setting_follows_the_zone() -> None:
    never_set = clock("2026-11-10T12:00")
    assert never_set.utc(naive("2026-11-10T08:00")) == at("2026-11-10T07:00")
    assert never_set.utc(naive("2026-07-10T08:00")) == at("2026-07-10T06:00")


def test_clock_does_not_follow_daylight_saving_by_itself() -> None:
    """Summer time ended at 01:00 UTC; the ring was set before and goes on two hours ahead."""
    ring = clock("2026-10-25T08:00", ("2026-10-24T20:00", 2))
    assert ring.utc(naive("2026-10-25T06:00")) == at("2026-10-25T04:00")
    assert ring.ring_time() == naive("2026-10-25T10:00")


def test_each_record_uses_the_setting_in_force() -> None:
    ring = clock("2026-10-25T12:00", ("2026-10-24T20:00", 2), ("2026-10-25T10:00", 1))
    assert ring.utc(naive("2026-10-25T07:00")) == at("2026-10-25T05:00")
    assert ring.utc(naive("2026-10-25T12:30")) == at("2026-10-25T11:30")


def test_ring_time_that_came_twice_is_not_certain_unless_once_still_to_come() -> None:
    settings = (("2026-10-24T20:00", 2), ("2026-10-25T10:00", 1))
    assert clock("2026-10-25T11:00", *settings).utc(naive("2026-10-25T11:30")) is None
    assert clock("2026-10-25T10:05", *settings).utc(naive("2026-10-25T11:30")) == at(
        "2026-10-25T09:30"
    )


def test_what_is_new_since_the_clock_was_set_back_is_of_the_second_time() -> None:
    ring = clock("2026-10-25T11:00", ("2026-10-24T20:00", 2), ("2026-10-25T10:00", 1))
    assert ring.utc(naive("2026-10-25T11:30"), new=True) == at("2026-10-25T10:30")
    assert ring.utc(naive("2026-10-25T10:30"), new=True) == at("2026-10-25T08:30")


def test_slot_in_which_the_clock_was_set_may_be_of_either_time() -> None:
    ring = clock("2026-10-25T14:00", ("2026-10-24T20:00", 2), ("2026-10-25T10:10", 1))
    quarter = timedelta(minutes=15)
    assert ring.utc(naive("2026-10-25T11:00"), quarter) is None
    assert ring.utc(naive("2026-10-25T10:45"), quarter) == at("2026-10-25T08:45")


def test_setting_ends_where_the_next_begins() -> None:
    """The first quarter after the clock went forward began, by the new clock, before it was set."""
    ring = clock("2026-03-29T10:00", ("2026-03-28T09:00", 1), ("2026-03-29T08:07", 2))
    assert ring.utc(naive("2026-03-29T10:00"), timedelta(minutes=15)) == at("2026-03-29T08:00")
    assert ring.utc(naive("2026-03-29T09:30")) is None, "left out by the clock"


def test_what_is_still_to_come_is_not_placed_by_an_older_setting() -> None:
    ring = clock("2026-10-25T12:00", ("2026-10-24T20:00", 2), ("2026-10-25T10:00", 1))
    assert ring.utc(naive("2026-10-25T13:40")) is None


def test_clock_set_back_twice() -> None:
    ring = clock("2026-10-25T10:00", ("2026-10-20T08:00", 11))
    ring.written(ClockSetting(at("2026-10-25T10:00"), -4 * HOUR))
    ring.written(ClockSetting(at("2026-10-26T10:00"), -5 * HOUR))
    ring.now = lambda: at("2026-10-27T10:00")
    assert ring.utc(naive("2026-10-25T06:30")) is None
    assert ring.utc(naive("2026-10-25T20:30")) is None
    assert ring.utc(naive("2026-10-26T05:30")) is None
    assert ring.utc(naive("2026-10-26T04:30")) == at("2026-10-26T08:30")
    assert ring.utc(naive("2026-10-26T06:30")) == at("2026-10-26T11:30")


def test_hour_that_comes_twice_in_the_zone_is_not_certain_before_any_setting() -> None:
    never_set = clock("2026-11-10T12:00")
    assert never_set.utc(naive("2026-10-25T02:30")) is None
    assert never_set.utc(naive("2026-10-25T03:30")) == at("2026-10-25T02:30")
    assert never_set.utc(naive("2026-03-29T02:30")) == at("2026-03-29T01:30")


def test_the_future_has_no_instant() -> None:
    assert clock("2026-11-10T12:00", ("2026-11-10T08:00", 1)).utc(naive("2026-11-10T14:00")) is None


@pytest.mark.parametrize(("zone", "minutes"), [("Asia/Kolkata", 330), ("America/St_Johns", -210)])
def test_target_is_local_time(zone: str, minutes: int) -> None:
    target = clock("2026-11-10T12:00", zone=ZoneInfo(zone)).target()
    assert target.offset == timedelta(minutes=minutes)


def test_due_at_first_after_the_interval_and_at_an_offset_change() -> None:
    assert clock("2026-11-10T12:00").due(12 * HOUR)
    assert not clock("2026-11-10T12:00", ("2026-11-10T08:00", 1)).due(12 * HOUR)
    assert clock("2026-11-10T20:00", ("2026-11-10T08:00", 1)).due(12 * HOUR)
    assert clock("2026-10-25T02:00", ("2026-10-24T23:00", 2)).due(12 * HOUR)


def test_what_a_wrong_clock_wrote_is_doubted() -> None:
    ring = clock("2026-11-11T12:00", ("2026-11-01T08:00", 1))
    ring.was_off(at("2026-11-11T10:00"), timedelta(days=-1))
    assert ring.utc(naive("2026-11-10T12:00")) is None
    assert ring.utc(naive("2026-11-10T10:30")) == at("2026-11-10T09:30")
    assert ring.utc(naive("2026-11-10T13:30")) == at("2026-11-10T12:30")


def test_times_a_clock_that_was_set_back_shows_again_are_doubted() -> None:
    ring = clock("2026-10-25T10:00", ("2026-10-24T20:00", 2))
    ring.written(ring.target())
    assert ring.utc(naive("2026-10-25T11:30")) == at("2026-10-25T09:30")
    ring.now = lambda: at("2026-10-25T14:00")
    assert ring.utc(naive("2026-10-25T11:30")) is None
    assert ring.utc(naive("2026-10-25T12:00")) == at("2026-10-25T11:00")


def test_old_settings_and_doubts_are_forgotten() -> None:
    ring = clock("2026-11-11T12:00", ("2026-01-01T08:00", 2), ("2026-02-01T08:00", 1))
    ring.doubts.append((at("2026-02-01T08:00"), at("2026-02-01T09:00")))
    ring.written(ring.target())
    assert [s.at for s in ring.settings] == [at("2026-02-01T08:00"), at("2026-11-11T12:00")]
    assert not ring.doubts


def test_equal_settings_do_not_pile_up() -> None:
    ring = clock("2026-11-10T12:00", ("2026-11-01T08:00", 2), ("2026-11-02T08:00", 1))
    for day in range(3, 10):
        ring.written(ClockSetting(at(f"2026-11-{day:02}T08:00"), HOUR))
    assert [s.at.day for s in ring.settings] == [1, 2, 9]
    assert not ring.due(28 * HOUR + timedelta(seconds=1))


def test_clock_that_was_read_places_what_it_wrote_before() -> None:
    """Nobody told the ring that summer time ended."""
    ring = clock("2026-11-10T12:00")
    assert ring.read(naive("2026-11-10T14:00:20"), None) == HOUR + timedelta(seconds=20)
    assert ring.utc(naive("2026-11-10T08:00:20")) == at("2026-11-10T06:00")
    assert ring.utc(naive("2026-01-10T08:00")) == at("2026-01-10T07:00"), "too long ago to tell"


def test_drift_is_told_but_changes_nothing() -> None:
    ring = clock("2026-11-10T12:00", ("2026-11-01T08:00", 1))
    assert ring.read(naive("2026-11-10T12:58:30"), None) == timedelta(seconds=-90)
    assert ring.utc(naive("2026-11-10T08:00")) == at("2026-11-10T07:00")


def test_clock_set_by_someone_else_may_have_been_so_since_it_was_read_last() -> None:
    ring = clock("2026-11-10T12:00", ("2026-11-01T08:00", 1))
    ring.read(naive("2026-11-10T06:00"), at("2026-11-09T12:00"))
    assert ring.utc(naive("2026-11-10T02:00")) is None
    assert ring.utc(naive("2026-11-10T02:00"), new=True) is None
    assert ring.utc(naive("2026-11-10T09:00")) == at("2026-11-10T08:00")
    assert ring.utc(naive("2026-11-08T08:00")) == at("2026-11-08T07:00")
    ring.now = lambda: at("2026-11-10T16:00")
    assert ring.utc(naive("2026-11-10T09:30")) is None
    assert ring.utc(naive("2026-11-10T07:00"), new=True) is None
    ring.now = lambda: at("2026-11-11T16:00")
    assert ring.utc(naive("2026-11-11T07:00")) == at("2026-11-11T13:00")


def test_clock_that_drifted_for_long_is_certain_enough() -> None:
    ring = clock("2026-11-10T12:00", ("2026-10-01T08:00", 1))
    ring.read(naive("2026-11-10T13:04"), at("2026-10-01T08:00"))
    assert ring.utc(naive("2026-11-10T08:04")) == at("2026-11-10T07:00")


def test_settings_are_kept_as_json() -> None:
    settings = [
        ClockSetting(at("2026-11-01T08:00"), HOUR),
        ClockSetting(at("2026-11-10T12:00"), -6 * HOUR, 24 * HOUR),
    ]
    data = RingMemory(clock=settings).as_dict()
    assert RingMemory.from_dict(data).clock == settings
    data["clock"][0] = data["clock"][0][:2]
    assert RingMemory.from_dict(data).clock == settings, "as it was before"
