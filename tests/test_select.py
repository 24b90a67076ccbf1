"""Settings of a ring that are a choice."""

from tests.air import Air, oximeter, virtual


async def test_a_choice_shows_what_the_ring_says(air: Air) -> None:
    ring = oximeter("o2ring_s")
    await air.add(ring)
    await air.enable(ring, "select", "brightness")
    state = air.state(ring, "brightness", "select")
    assert state.attributes["options"] == ["low", "medium", "high"]
    told = ring.told_settings["brightness"]
    assert state.state == state.attributes["options"][told]

    await air.call("select", "select_option", entity_id=state.entity_id, option="high")
    assert ring.told_settings["brightness"] == 2
    assert air.value(ring, "brightness", "select") == "high"


async def test_the_hand_a_display_turns_for(air: Air) -> None:
    ring = virtual("r12")
    await air.add(ring)
    await air.enable(ring, "select", "wearing_hand")
    state, before = air.state(ring, "wearing_hand", "select"), dict(ring.display)
    assert state.state == "left"
    await air.call("select", "select_option", entity_id=state.entity_id, option="right")
    assert ring.display == before | {"hand": "right"}
    assert air.value(ring, "wearing_hand", "select") == "right"
