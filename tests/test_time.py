"""Settings of a ring that are a time of day."""

from tests.air import Air, virtual


async def test_when_a_display_is_on(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    await air.enable(ring, "time", "display_start")
    state, before = air.state(ring, "display_start", "time"), dict(ring.display)
    assert state.state == "22:00:00"
    await air.call("time", "set_value", entity_id=state.entity_id, time="06:45:30")
    assert ring.display == before | {"start": "06:45"}
    assert air.value(ring, "display_start", "time") == "06:45:00"


async def test_no_time_of_day_is_no_value(air: Air) -> None:
    ring = virtual("r12")
    ring.display["start"] = "25:70"
    await air.add(ring)
    await air.enable(ring, "time", "display_end")
    assert air.value(ring, "display_end", "time") == "23:00:00"
    assert air.entity_id(ring, "time", "display_start") is None
