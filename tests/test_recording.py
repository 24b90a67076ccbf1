"""An oximeter's nights in Home Assistant: taken once, whole, and told as they were."""

from datetime import datetime, timedelta
import hashlib
from typing import Any

from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNKNOWN
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest

from custom_components.smart_rings.rings.models import Metric
from ringsim.rings.oximeter import Oximeter
from tests.air import ADDRESS, Air, key_of, oximeter

MODELS = ("o2ring", "sleepu", "o2ring_s", "o2ring_s_aes", "s8_aw", "shqo2pro")


async def taken(air: Air, ring: Oximeter) -> list[dict[str, Any]]:
    """Return of the archive's recordings what `truth` tells of those of the ring."""
    return [
        {
            "start": recording.start.isoformat(),
            "duration": (recording.end - recording.start).total_seconds(),
            "sha256": hashlib.sha256(recording.data).hexdigest(),
        }
        for recording in await air.archive.recordings(key_of(ring))
    ]


def held(ring: Oximeter) -> list[dict[str, Any]]:
    """Return what `taken` should be."""
    return [
        {
            "start": recording["start"],
            "duration": recording["duration"],
            "sha256": recording["sha256"],
        }
        for recording in ring.truth()["recordings"]
    ]


@pytest.mark.parametrize("model", MODELS)
async def test_all_nights_are_taken_once(air: Air, model: str) -> None:
    ring = oximeter(model)
    entry = await air.add(ring)
    await air.passes(minutes=20)
    print(ring.truth()["recordings"][0]["start"], entry.runtime_data.dropped, air.contacts(ring), entry.runtime_data.error)
    assert len(held(ring)) == 4
    assert await taken(air, ring) == held(ring)
