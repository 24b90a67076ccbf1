"""Ring time ↔ UTC."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from custom_components.smart_rings.rings.clock import Clock
from custom_components.smart_rings.rings.models import ClockSetting

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


def test_ring_time_that_came_twice_is_the_later_one_unless_still_to_come() -> None:
    settings = (("2026-10-24T20:00", 2), ("2026-10-25T10:00", 1))
    assert clock("2026-10-25T11:00", *settings).utc(naive("2026-10-25T11:30")) == at(
        "2026-10-25T10:30"
    )
    assert clock("2026-10-25T10:05", *settings).utc(naive("2026-10-25T11:30")) == at(
        "2026-10-25T09:30"
    )


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
    ring = clock("2026-11-11T12:00", ("2026-01-01T08:00", 1), ("2026-02-01T08:00", 1))
    ring.doubts.append((at("2026-02-01T08:00"), at("2026-02-01T09:00")))
    ring.written(ring.target())
    assert [s.at for s in ring.settings] == [at("2026-02-01T08:00"), at("2026-11-11T12:00")]
    assert not ring.doubts
