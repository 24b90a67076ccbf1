"""What is shown of a ring is what the ring holds."""

from datetime import datetime, timedelta

from homeassistant.const import STATE_UNKNOWN
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest

from custom_components.smart_rings.const import DOMAIN
from custom_components.smart_rings.rings.models import Metric
from ringsim.rings.base import Faults
from ringsim.rings.colmi import ColmiRing, frame
from tests.air import Air, key_of, oximeter, virtual

BATTERY = 0x03

COUNTERS = {"steps", "distance", "energy"}
READINGS = {
    "r02": {"heart_rate", "spo2", "stress"},
    "r09": {"heart_rate", "spo2", "stress", "hrv", "temperature"},
    "r10": {"heart_rate", "spo2", "stress", "hrv"},
    "r12": {"heart_rate", "spo2", "stress", "hrv"},
}


def keys(air: Air, address: str, platform: str) -> set[str]:
    """Return which entities of a platform a ring has, enabled or not."""
    return {
        entry.unique_id.removeprefix(f"{address}_")
        for entry in er.async_get(air.hass).entities.values()
        if entry.platform == DOMAIN and entry.domain == platform
    }


@pytest.mark.parametrize("model", READINGS)
async def test_values(air: Air, model: str) -> None:
    ring = virtual(model)
    await air.add(ring)
    truth = ring.truth()
    assert keys(air, ring.address, "sensor") & set(Metric) == READINGS[model] | COUNTERS
    assert air.value(ring, "battery") == str(truth["battery"])
    assert air.value(ring, "heart_rate") == str(truth["heart_rate"]["value"])
    for metric in READINGS[model]:
        shown, true = air.state(ring, metric), truth["latest"][metric]
        assert float(shown.state) == true["value"]
        assert shown.attributes["measured_at"] == datetime.fromisoformat(true["at"])
    synced = datetime.fromisoformat(air.value(ring, "last_sync"))
    assert (dt_util.utcnow() - synced).total_seconds() < 5
    await air.enable(ring, "sensor", "last_measurement")
    last = max(truth["latest"][metric]["at"] for metric in READINGS[model])
    assert air.value(ring, "last_measurement") == last


@pytest.mark.parametrize("model", ["r09", "r10", "r12"])
async def test_counters(air: Air, model: str) -> None:
    ring = virtual(model)
    await air.add(ring)
    for metric in COUNTERS - {"steps"}:
        await air.enable(ring, "sensor", metric)
    for metric in COUNTERS:
        assert float(air.value(ring, metric)) == pytest.approx(ring.truth()["today"][metric])
        assert "state_class" not in air.state(ring, metric).attributes
    await air.leave(ring)
    midnight = dt_util.start_of_local_day() + timedelta(days=1)
    await air.passes(seconds=(midnight - dt_util.utcnow()).total_seconds() - 60)
    assert air.value(ring, "steps") != STATE_UNKNOWN
    await air.passes(minutes=2)
    assert air.value(ring, "steps") == STATE_UNKNOWN


async def test_attributes(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    heart_rate = air.state(ring, "heart_rate").attributes
    assert heart_rate["state_class"] == "measurement"
    assert heart_rate["unit_of_measurement"] == "bpm"
    assert heart_rate["friendly_name"] == "R02_79B5 Heart rate"
    battery = air.state(ring, "battery").attributes
    assert "state_class" not in battery, "a value of yesterday would go into the statistics"
    assert battery["device_class"] == "battery"


async def test_changed_readings_show(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    ring.battery = 12
    ring.clear()
    ring.put("heart_rate", ring.clock.read().replace(minute=30, second=0, microsecond=0), 123)
    await air.passes(minutes=46)
    assert air.value(ring, "battery") == "12"
    assert air.value(ring, "heart_rate") == "123"


async def test_entities_appear_with_the_first_contact(air: Air) -> None:
    ring = virtual()
    ring.faults.refuse_connections = -1
    await air.add(ring)
    assert not {"battery", "heart_rate"} & keys(air, ring.address, "sensor")
    assert air.value(ring, "last_sync") == STATE_UNKNOWN
    assert keys(air, ring.address, "button") == {"sync"}
    assert keys(air, ring.address, "binary_sensor") == {"in_range"}

    ring.faults.refuse_connections = 0
    await air.passes(minutes=6)
    assert air.value(ring, "battery") == str(ring.battery)
    assert {"battery", "heart_rate"} <= keys(air, ring.address, "sensor")
    assert {"find", "set_time", "restart"} <= keys(air, ring.address, "button")
    assert "charging" in keys(air, ring.address, "binary_sensor")


async def test_no_reading_is_no_value(air: Air) -> None:
    ring = virtual()
    ring.clear()
    await air.add(ring)
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN
    await air.enable(ring, "sensor", "last_measurement")
    assert air.value(ring, "last_measurement") == STATE_UNKNOWN
    assert air.value(ring, "battery") == str(ring.battery)


async def test_signal_strength(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    entity_id = air.entity_id(ring, "sensor", "rssi")
    assert entity_id
    assert air.hass.states.get(entity_id) is None
    await air.enable(ring, "sensor", "rssi")
    assert air.value(ring, "rssi") == "-60"

    air.radio.set_rssi(ring.address, air.proxy.source, -81)
    await air.passes(seconds=10)
    assert air.value(ring, "rssi") == "-60", "once a minute is enough"
    await air.passes(minutes=1)
    assert air.value(ring, "rssi") == "-81"
    await air.leave(ring)
    assert air.value(ring, "rssi") == STATE_UNKNOWN


async def test_not_more_than_twenty_entities_are_on(air: Air) -> None:
    await air.add(virtual("r09"))
    on = [e for e in er.async_get(air.hass).entities.values() if not e.disabled]
    assert 0 < len(on) <= 20


def detail(air: Air, ring: ColmiRing) -> str | None:
    told: str | None = air.state(ring, "contact").attributes.get("detail")
    return told


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(refuse_connections=-1), "connected_elsewhere"),
        (Faults(hang_on_connect=True), "connected_elsewhere"),
        (Faults(ignore=frozenset({BATTERY})), "not_answering"),
        (Faults(answer_other={BATTERY: frame(BATTERY | 0x80, 0xEE)}), "not_answering"),
        (Faults(drop_after=1, drop_after_each=True), "not_answering"),
    ],
    ids=["refuses", "hangs", "silent", "refuses to answer", "drops"],
)
async def test_why_nothing_came(air: Air, faults: Faults, reason: str) -> None:
    ring = virtual()
    await air.add(ring)
    assert (air.value(ring, "contact"), detail(air, ring)) == ("ok", None)
    ring.faults = faults
    await air.passes(minutes=17)
    assert air.value(ring, "contact") == reason
    assert detail(air, ring)
    ring.faults = Faults()
    await air.passes(minutes=20)
    assert (air.value(ring, "contact"), detail(air, ring)) == ("ok", None)


async def test_nothing_comes_from_a_ring_out_of_range(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    await air.leave(ring)
    assert air.value(ring, "contact") == "out_of_range"
    told = detail(air, ring)
    assert "no scanner currently has it" in (told or "")
    await air.passes(minutes=3)
    assert detail(air, ring) == told
    await air.come_back(ring)
    assert air.value(ring, "contact") == "ok"


async def test_nothing_comes_without_a_free_connection(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    air.proxy.slots = 0
    await air.passes(minutes=17)
    assert air.value(ring, "contact") == "no_free_connection"
    assert "proxy 01" in (detail(air, ring) or "")
    air.proxy.slots = 3
    await air.passes(minutes=17)
    assert air.value(ring, "contact") == "ok"


async def test_nothing_comes_without_a_bond(air: Air) -> None:
    ring = virtual()
    await air.add(ring)
    ring.faults.att_error = 0x0F
    await air.passes(minutes=17)
    assert air.value(ring, "contact") == "needs_key"
    assert detail(air, ring) == "Insufficient encryption"
    ring.faults.att_error = None
    await air.passes(minutes=17)
    assert air.value(ring, "contact") == "ok"


async def test_of_an_oximeter_at_most_20_are_on_by_default(air: Air) -> None:
    ring = oximeter("s8_aw")
    ring.worn = True
    await air.add(ring)
    await air.passes(minutes=5)
    registered = [e for e in er.async_get(air.hass).entities.values() if e.platform == DOMAIN]
    on, off = (
        {e.unique_id.removeprefix(f"{key_of(ring)}_") for e in registered if e.disabled is disabled}
        for disabled in (False, True)
    )
    assert len(on) <= 20
    assert {"spo2", "heart_rate", "worn", "live", "recording_spo2_min", "recording_odi_3"} <= on
    assert {"perfusion_index", "motion", "voltage", "recording_o2_score"} <= off


async def test_live_values_of_an_oximeter(air: Air) -> None:
    ring = oximeter("o2ring_s")
    ring.worn = True
    ring.pinned |= {"spo2": 93, "pulse": 51, "perfusion": 42, "motion": 7}
    await air.add(ring)
    for key in ("perfusion_index", "motion", "voltage"):
        await air.enable(ring, "sensor", key)
    assert air.value(ring, "spo2") == "93"
    assert air.value(ring, "heart_rate") == "51"
    assert air.value(ring, "perfusion_index") == "4.2"
    assert air.value(ring, "motion") == "7"
    assert air.value(ring, "battery") == str(ring.battery)
    assert 3 < float(air.value(ring, "voltage")) < 4.5
    ring.pinned |= {"spo2": 255, "pulse": 65535}
    await air.passes(minutes=4)
    assert air.value(ring, "spo2") == STATE_UNKNOWN
    assert air.value(ring, "heart_rate") == STATE_UNKNOWN
