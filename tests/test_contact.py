"""One conversation at a time, and why there was none."""

import asyncio
from unittest.mock import patch

from bleak_retry_connector import BleakOutOfConnectionSlotsError, establish_connection
import pytest

from custom_components.smart_rings import contact as contact_module
from custom_components.smart_rings.contact import Contact, ContactError
from custom_components.smart_rings.rings import MODELS
from custom_components.smart_rings.rings.models import RingMemory
from ringsim.rings.base import Faults
from ringsim.rings.colmi import ColmiRing, frame
from tests.air import Air, virtual

BATTERY = 0x03
ADDRESSES = [f"AA:BB:CC:DD:EE:0{number}" for number in range(4)]


def to(air: Air, ring: ColmiRing) -> Contact:
    return Contact(air.hass, MODELS[f"colmi_{ring.model}"], ring.address, ring.name)


async def ask(contact: Contact) -> int | None:
    async with contact.open(RingMemory()) as ring:
        return (await ring.state()).battery


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(refuse_connections=-1), "connected_elsewhere"),
        (Faults(hang_on_connect=True), "connected_elsewhere"),
        (Faults(ignore=frozenset({BATTERY})), "not_answering"),
        (Faults(drop_after=1), "not_answering"),
        (Faults(att_error=0x0F), "needs_key"),
        (Faults(answer_other={BATTERY: frame(BATTERY | 0x80, 0xEE)}), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_reasons(air: Air, faults: Faults, reason: str) -> None:
    ring = virtual()
    await air.heard(ring)
    contact = to(air, ring)
    ring.faults = faults
    with pytest.raises(ContactError) as caught:
        await ask(contact)
    assert caught.value.reason == reason
    assert not air.radio.links

    ring.faults = Faults()
    assert await ask(contact) == ring.battery


async def test_no_proxy_left(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    air.proxy.stop()
    with pytest.raises(ContactError) as caught:
        await ask(to(air, ring))
    assert caught.value.reason == "out_of_range"


async def test_a_proxy_that_goes_down_while_connecting(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    ring.faults.hang_on_connect = True
    trying = asyncio.create_task(ask(to(air, ring)))
    await asyncio.sleep(5)
    air.proxy.stop()
    with pytest.raises(ContactError) as caught:
        await trying
    assert caught.value.reason == "out_of_range"


async def test_no_free_connection_is_told_before_the_connector_gives_up(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    air.proxy.slots = 0
    start = air.hass.loop.time()
    with pytest.raises(ContactError) as caught:
        await ask(to(air, ring))
    assert caught.value.reason == "no_free_connection"
    assert air.hass.loop.time() - start < 30


async def test_no_free_connection_in_the_words_of_a_proxy(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    error = BleakOutOfConnectionSlotsError("all used")
    with (
        patch.object(contact_module, "establish_connection", side_effect=error),
        pytest.raises(ContactError) as caught,
    ):
        await ask(to(air, ring))
    assert caught.value.reason == "no_free_connection"


async def test_a_connection_that_becomes_free_is_taken(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    air.proxy.slots = 0
    asked = asyncio.create_task(ask(to(air, ring)))
    await asyncio.sleep(10)
    air.proxy.slots = 1
    assert await asked == ring.battery


async def test_contacts_of_one_ring_wait_for_each_other(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    answers = await asyncio.gather(*(ask(to(air, ring)) for _ in range(3)))
    assert answers == [ring.battery] * 3
    assert len(air.contacts(ring)) == 3, "none was refused and tried again"


async def test_other_integrations_keep_a_connection(air: Air) -> None:
    rings = [virtual(address=address) for address in ADDRESSES]
    await air.heard(*rings)
    together = 0

    async def stay(ring: ColmiRing) -> None:
        nonlocal together
        async with to(air, ring).open(RingMemory()):
            together = max(together, len(air.radio.links))
            await asyncio.sleep(20)

    await asyncio.gather(*map(stay, rings))
    assert together == air.proxy.slots - 1
    assert all(len(air.contacts(ring)) == 1 for ring in rings)


async def test_a_contact_ends(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    with pytest.raises(ContactError) as caught:
        async with to(air, ring).open(RingMemory()):
            await asyncio.sleep(3600)
    assert caught.value.reason == "not_answering"
    assert not air.radio.links


async def test_a_contact_that_is_cancelled_gives_the_link_back(air: Air) -> None:
    ring = virtual()
    await air.heard(ring)
    contact = to(air, ring)
    ring.faults.ignore = frozenset({BATTERY})
    asked = asyncio.create_task(ask(contact))
    await asyncio.sleep(2)
    assert air.radio.links
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not air.radio.links
    assert not contact.connected


async def test_services_are_read_anew_when_they_did_not_fit(air: Air) -> None:
    """A firmware update moves them, and the stack remembers the old ones."""
    ring = virtual()
    await air.heard(ring)
    contact = to(air, ring)
    with patch.object(
        contact_module, "establish_connection", wraps=establish_connection
    ) as established:
        with (
            patch.object(ColmiRing, "services", ring.services[:1]),
            pytest.raises(ContactError) as caught,
        ):
            await ask(contact)
        assert caught.value.reason == "not_supported"
        await ask(contact)
        await ask(contact)
    trusted = [call.kwargs["use_services_cache"] for call in established.call_args_list]
    assert trusted == [True, False, True]
