"""Whether Home Assistant shows what the virtual rings hold."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from .home_assistant import HomeAssistant, Json
from .simulator import Simulator

DOMAIN = "smart_rings"
DISCOVERY_TIMEOUT = 60
SYNC_TIMEOUT = 120
UNKNOWN = ("unknown", "unavailable")
SYNC_INTERVAL = timedelta(minutes=15)
# These do something, or tell of what happens from now on.
STATELESS = ("button", "calendar", "event")


@dataclass(frozen=True, slots=True)
class Row:
    """An entity beside what the simulator holds; `None` is what is missing there."""

    ring: str
    entity: str
    state: str | None
    unit: str | None
    truth: str | None

    @property
    def right(self) -> bool:
        """Whether both say the same."""
        if self.state is None or self.truth is None:
            return False
        return _value(self.state) == _value(self.truth)


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator holds of a ring that was asked between two instants."""

    held: Json
    since: datetime
    synced: datetime

    def latest(self, metric: str) -> Json | None:
        """Return a metric's newest reading that was there to be taken over."""
        readings: Iterable[Json] = self.held["readings"].get(metric, ())
        taken = [r for r in readings if datetime.fromisoformat(r["start"]) <= self.synced]
        return max(taken, key=lambda reading: str(reading["start"]), default=None)

    def value(self, metric: str) -> str | None:
        """Return that reading's value, as long as it can be taken for the present one."""
        if metric not in self.held["metrics"]:
            return None
        every = self.held["settings"]["heart_rate_interval"] if metric == "heart_rate" else 60
        holds = 2 * timedelta(minutes=every) + SYNC_INTERVAL
        reading = self.latest(metric)
        if reading is None or self.synced - datetime.fromisoformat(reading["start"]) > holds:
            return "unknown"
        return str(reading["value"])

    def last_measurement(self) -> str | None:
        """Return the time of the newest reading of all metrics that are shown."""
        readings = filter(None, map(self.latest, READINGS))
        return max((str(reading["start"]) for reading in readings), default=None)

    def last_sync(self) -> str:
        """Return when it was asked last: nothing but the start of all this is known of it."""
        return self.synced.isoformat() if self.synced >= self.since else f"after {self.since}"


READINGS = ("heart_rate", "spo2", "hrv", "stress", "temperature")

EXPECTED: Mapping[str, Callable[[Truth], str | None]] = {
    **{metric: partial(Truth.value, metric=metric) for metric in READINGS},
    "battery": lambda truth: str(truth.held["battery"]),
    "charging": lambda truth: "on" if truth.held["charging"] else "off",
    "in_range": lambda _: "on",
    "last_measurement": Truth.last_measurement,
    "last_sync": Truth.last_sync,
    "measuring": lambda _: "off",
    "steps": lambda truth: str(truth.held["today"]["steps"]),
}


async def run(home: HomeAssistant, simulator: Simulator) -> list[Row]:
    """Add all rings, wait for their first sync, and return each entity beside the truth.

    Raises:
        TimeoutError: a ring was not discovered or not synced.
        RuntimeError: a ring was not added.
    """
    since = datetime.now(UTC)
    await add(home, simulator.rings)
    rows: list[Row] = []
    for address in simulator.rings:
        await until_known(home, address, "last_sync")
        rows += await compare(home, simulator, address, since)
    return rows


async def add(home: HomeAssistant, addresses: Iterable[str]) -> None:
    """Add rings as a person does: look for them, then confirm each of the discovered ones.

    Raises:
        TimeoutError: not all of them were discovered.
        RuntimeError: one was not added.
    """
    async with home.websocket.subscribe("config_entries/flow/subscribe") as changes:
        # Opening the dialogue makes an active scan, without which a ring that tells its name only
        # when asked for it stays unknown for minutes.
        step = await home.start_flow(DOMAIN)
        if step["type"] == "form":
            await home.drop_flow(step["flow_id"])
        missing = set(addresses)
        async with asyncio.timeout(DISCOVERY_TIMEOUT):
            while missing:
                for address, flow_id in _discovered(await changes.get()):
                    if address in missing:
                        missing.discard(address)
                        await _confirm(home, flow_id)


async def until_known(home: HomeAssistant, address: str, key: str) -> None:
    """Return once an entity of a ring has a state.

    Raises:
        TimeoutError: it got none.
    """
    async with (
        asyncio.timeout(SYNC_TIMEOUT),
        home.websocket.subscribe("subscribe_events", event_type="state_changed") as changes,
    ):
        while (state := (await shown(home, address)).get(key)) is None or state["state"] in UNKNOWN:
            await changes.get()


async def shown(home: HomeAssistant, address: str) -> dict[str, Json]:
    """Return the states of a ring's enabled entities by their keys, less those that have none."""
    states = await home.states()
    registered = await home.websocket.call("config/entity_registry/list")
    ids = {entity["unique_id"]: entity["entity_id"] for entity in registered}
    return {
        unique_id.removeprefix(f"{address}_"): states[entity_id]
        for unique_id, entity_id in ids.items()
        if str(unique_id).startswith(f"{address}_")
        and entity_id in states
        and entity_id.partition(".")[0] not in STATELESS
    }


async def compare(
    home: HomeAssistant, simulator: Simulator, address: str, since: datetime
) -> list[Row]:
    """Return all that a ring's entities show, and all they should show."""
    states = await shown(home, address)
    synced = datetime.fromisoformat(states["last_sync"]["state"])
    truth = Truth(await simulator.ask("truth", ring=address), since, synced)
    expected = {key: text for key, get in EXPECTED.items() if (text := get(truth)) is not None}
    return [
        Row(
            ring=simulator.rings[address],
            entity=key,
            state=states[key]["state"] if key in states else None,
            unit=states[key]["attributes"].get("unit_of_measurement") if key in states else None,
            truth=expected.get(key),
        )
        for key in sorted(expected | states)
    ]


def _discovered(changes: Iterable[Json]) -> Iterator[tuple[str, str]]:
    """Yield address and flow of each ring that waits on the integrations' page."""
    for change in changes:
        flow = change.get("flow") or {}
        if flow.get("handler") == DOMAIN:
            yield flow["context"]["unique_id"], flow["flow_id"]


async def _confirm(home: HomeAssistant, flow_id: str) -> None:
    step = await home.continue_flow(flow_id, {})
    if step["type"] != "create_entry":
        raise RuntimeError(f"not added: {step.get('errors') or step.get('reason')}")


def _value(text: str) -> float | datetime | str:
    """Return what a text means, so that 72 is 72.0 and an instant the same in every zone."""
    for parse in (float, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            pass
    return text
