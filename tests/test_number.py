"""Settings of a ring that are numbers."""

from tests.air import Air, virtual


async def test_a_number_shows_what_the_ring_says(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "number", "heart_rate_interval")
    state = air.state(ring, "heart_rate_interval", "number")
    assert float(state.state) == ring.heart_rate_interval == 30
    assert (state.attributes["min"], state.attributes["max"], state.attributes["step"]) == (
        5,
        60,
        5,
    )
    assert state.attributes["unit_of_measurement"] == "min"

    await air.call("number", "set_value", entity_id=state.entity_id, value=10)
    assert ring.heart_rate_interval == 10
    assert float(air.value(ring, "heart_rate_interval", "number")) == 10


async def test_a_goal(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.enable(ring, "number", "energy_goal")
    state = air.state(ring, "energy_goal", "number")
    assert float(state.state) == ring.truth()["goals"]["energy"] / 1000
    await air.call("number", "set_value", entity_id=state.entity_id, value=450)
    assert ring.truth()["goals"]["energy"] == 450_000


async def test_how_bright_a_display_is(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    await air.enable(ring, "number", "brightness")
    state, before = air.state(ring, "brightness", "number"), dict(ring.display)
    assert (float(state.state), state.attributes["max"]) == (2, 5)
    await air.call("number", "set_value", entity_id=state.entity_id, value=4)
    assert ring.display == before | {"brightness": 4}
    assert float(air.value(ring, "brightness", "number")) == 4
