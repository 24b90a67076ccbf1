"""What a person has to mend is reported, and gone when it is mended."""

from typing import Any

from homeassistant.components.repairs.const import DOMAIN as REPAIRS
from homeassistant.components.repairs.issue_handler import RepairsFlowManager
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.smart_rings.const import DOMAIN
from ringsim.rings.base import Faults
from tests.air import Air, key_of, oximeter, virtual


def issues(air: Air) -> dict[str, ir.IssueEntry]:
    """Return the open issues by their translation key."""
    found = ir.async_get(air.hass).issues.values()
    return {issue.translation_key or "": issue for issue in found if issue.domain == DOMAIN}


class Fix:
    """A person who follows the way out of an issue."""

    def __init__(self, air: Air) -> None:
        self.manager: RepairsFlowManager = air.hass.data[REPAIRS]["flow_manager"]
        self.issue = next(iter(issues(air).values()))
        self.flow: Any = None

    async def begin(self) -> Any:
        data = {"issue_id": self.issue.issue_id}
        self.flow = await self.manager.async_init(DOMAIN, data=data)
        return self.flow

    async def submit(self) -> Any:
        return await self.manager.async_configure(self.flow["flow_id"], {})


@pytest.fixture
async def repairs(air: Air) -> None:
    assert await async_setup_component(air.hass, REPAIRS, {})


@pytest.mark.usefixtures("repairs")
async def test_a_phone_that_holds_the_ring_for_a_day(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults.refuse_connections = -1
    await air.passes(hours=24)
    assert not issues(air)
    await air.passes(hours=1)
    assert list(issues(air)) == ["held_by_app"]

    fix = Fix(air)
    shown = await fix.begin()
    assert shown["step_id"] == "confirm"
    assert not shown["errors"], "nothing is tried before somebody has read what to do"
    shown = await fix.submit()
    assert shown["errors"] == {"base": "no_contact"}
    assert "phone app" in shown["description_placeholders"]["detail"]
    assert issues(air)

    ring.faults = Faults()
    assert (await fix.submit())["type"] is FlowResultType.CREATE_ENTRY
    assert not issues(air)
    assert air.value(ring, "contact") == "ok"


async def test_an_issue_is_gone_when_the_ring_answers_again(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults.refuse_connections = -1
    await air.passes(hours=26)
    assert issues(air)
    ring.faults = Faults()
    await air.passes(hours=2)
    assert not issues(air)


async def test_a_day_is_a_day_also_over_a_restart(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    ring.faults.refuse_connections = -1
    await air.passes(hours=20)
    await air.restart(entry)
    await air.passes(hours=6)
    assert list(issues(air)) == ["held_by_app"]


async def test_a_ring_that_leaves_is_not_held(air: Air) -> None:
    """At the edge of range it refuses for a moment, then it is away for more than a day."""
    ring = virtual()
    await air.add(ring)
    ring.faults.refuse_connections = -1
    await air.contacted(ring)
    await air.passes(seconds=30)
    air.radio.leave(ring.address)
    await air.passes(hours=25)
    assert not issues(air)
    await air.come_back(ring)
    assert not issues(air)


@pytest.mark.usefixtures("repairs")
async def test_a_ring_that_lost_its_bond(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults.att_error = 5
    await air.passes(minutes=16)
    assert list(issues(air)) == ["key_refused"]

    fix = Fix(air)
    await fix.begin()
    shown = await fix.submit()
    assert shown["errors"] == {"base": "no_contact"}
    assert "pairing or a key" in shown["description_placeholders"]["detail"]
    assert issues(air)

    ring.faults = Faults()
    assert (await fix.submit())["type"] is FlowResultType.CREATE_ENTRY
    assert not issues(air)


async def test_a_ring_that_will_overwrite_what_was_not_read(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.leave(ring)
    await air.passes(days=5, hours=23)
    assert not issues(air)
    await air.passes(hours=2)
    assert list(issues(air)) == ["memory_runs_over"]
    await air.passes(days=1)
    assert list(issues(air)) == ["memory_ran_over"]
    await air.come_back(ring)
    assert not issues(air)


async def test_a_ring_that_is_removed_has_no_issues(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    ring.faults.refuse_connections = -1
    await air.passes(hours=26)
    assert issues(air)
    await air.hass.config_entries.async_remove(entry.entry_id)
    assert not issues(air)


async def test_what_is_ignored_stays_ignored_until_it_is_solved(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    ring.faults.att_error = 5
    await air.passes(minutes=16)
    ir.async_ignore_issue(air.hass, DOMAIN, issues(air)["key_refused"].issue_id, ignore=True)
    await air.restart(entry)
    assert issues(air)["key_refused"].dismissed_version
    assert air.value(ring, "contact") == "needs_key"
    ring.faults = Faults()
    await air.press(ring, "sync")
    assert not issues(air)
    assert air.value(ring, "contact") == "ok"
    ring.faults.att_error = 5
    await air.passes(minutes=16)
    assert not issues(air)["key_refused"].dismissed_version


async def test_a_ring_that_is_disabled_has_no_issues(air: Air) -> None:
    ring = virtual()
    entry = await air.add(ring)
    ring.faults.att_error = 5
    await air.passes(minutes=16)
    assert issues(air)
    await air.hass.config_entries.async_set_disabled_by(entry.entry_id, ConfigEntryDisabler.USER)
    assert not issues(air)


async def test_warning_before_a_night_is_overwritten(air: Air) -> None:
    ring = oximeter("o2ring_s", days=0)
    await air.add(ring)
    for _ in range(2):
        assert not issues(air)
        ring.worn = True
        await air.passes(minutes=30)
        # It is taken off far away.
        await air.leave(ring)
        ring.worn = False
        await air.passes(hours=12)
        ring.worn = True
        await air.come_back(ring)
    assert list(issues(air)) == ["recordings_unread"]
    ring.worn = False
    await air.passes(minutes=10)
    assert len(await air.archive.recordings(key_of(ring))) == 3
    assert not issues(air)
