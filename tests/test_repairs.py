"""What only a person can put right is said, and no longer than that."""

from homeassistant.helpers import issue_registry as ir

from custom_components.smart_rings.const import DOMAIN
from tests.air import Air, key_of, oximeter


async def test_warning_before_a_night_is_overwritten(air: Air) -> None:
    ring = oximeter("o2ring_s", days=0)
    await air.add(ring)
    issues = ir.async_get(air.hass)
    issue = f"recordings_unread_{key_of(ring)}"
    for _ in range(2):
        assert issues.async_get_issue(DOMAIN, issue) is None
        ring.worn = True
        await air.passes(minutes=30)
        # It is taken off far away.
        await air.leave(ring)
        ring.worn = False
        await air.passes(hours=12)
        ring.worn = True
        await air.come_back(ring)
    assert issues.async_get_issue(DOMAIN, issue)
    ring.worn = False
    await air.passes(minutes=10)
    assert len(await air.archive.recordings(key_of(ring))) == 3
    assert issues.async_get_issue(DOMAIN, issue) is None
