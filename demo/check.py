"""Whether Home Assistant shows what the virtual rings hold."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

from .home_assistant import HomeAssistant, Json
from .night import FIGURES
from .simulator import Simulator

DOMAIN = "smart_rings"
DISCOVERY_TIMEOUT = 60
# The files of an oximeter's four nights take two minutes in the smallest packets.
SYNC_TIMEOUT = 240
UNKNOWN = ("unknown", "unavailable")
SYNC_INTERVAL = timedelta(minutes=15)
NIGHT_HOLDS = timedelta(hours=18)
SHORTEST_RECORDING = 600
# How exactly the clock of an oximeter can be read over the air.
CLOCK_READ = timedelta(seconds=2)
# What an oximeter measures of somebody who holds still: %, bpm, movement, 0.1 %.
STILL = {"spo2": 96, "pulse": 61, "motion": 4, "perfusion": 52}
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
class Snapshot:
    """What the simulator held of a ring at an instant."""

    at: datetime
    held: Json

    @classmethod
    async def take(cls, simulator: Simulator, address: str) -> Self:
        """Ask the simulator now."""
        return cls(datetime.now(UTC), await simulator.ask("truth", ring=address))


@dataclass(frozen=True, slots=True)
class Truth:
    """What Home Assistant should know of a ring that held this, and was asked since an instant."""

    held: Json
    since: datetime
    synced: datetime
    measured: datetime | None

    def latest(self, metric: str) -> Json | None:
        """Return a metric's newest reading."""
        readings: Iterable[Json] = self.held["readings"].get(metric, ())
        return max(readings, key=lambda reading: str(reading["start"]), default=None)

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

    def today(self, metric: str) -> str:
        """Return what was counted since the wearer's midnight."""
        return str(self.held["today"][metric])

    def night(self, figure: Callable[[Json], str]) -> str:
        """Return something of last night, as long as it is called that."""
        night: Json | None = self.held["last_night"]
        if night is None or self.synced - datetime.fromisoformat(night["end"]) > NIGHT_HOLDS:
            return "unknown"
        return figure(night)

    def live(self, metric: str) -> str:
        """Return what an oximeter measures."""
        value = self.held["live"][metric] if self.held["worn"] else None
        return "unknown" if value is None else str(value)

    def perfusion_index(self) -> str | None:
        """Return what an oximeter tells once it was worn, if it tells that at all."""
        return (
            None if self.held["live"]["perfusion_index"] is None else self.live("perfusion_index")
        )

    def recording(self, figure: Callable[[Json], float | str | None]) -> str:
        """Return a figure of an oximeter's last recording, as long as it is shown."""
        # A ring tells nothing of what it holds while it is worn.
        last = None if self.held["worn"] else last_recording(self.held)
        if last is None or self.synced - datetime.fromisoformat(_end(last)) > NIGHT_HOLDS:
            return "unknown"
        value = figure(last)
        return "unknown" if value is None else str(value)

    def setting(self, names: Sequence[str], meaning: Callable[[Any], str]) -> str | None:
        """Return what a setting means, by the first of its names that the ring knows."""
        told: Json = {}
        for part in ("settings", "goals", "display"):
            told |= self.held.get(part) or {}
        return next((meaning(told[name]) for name in names if name in told), None)

    def last_taken(self) -> str:
        """Return when an oximeter measured last: now while it is worn, else in its recording."""
        if self.held["worn"]:
            return self._meanwhile(self.measured or self.since)
        end = self.recording(_end)
        if self.measured and end != "unknown":
            near = abs(self.measured - datetime.fromisoformat(end)) <= CLOCK_READ
            return self.measured.isoformat() if near else end
        return end

    def last_sync(self) -> str:
        """Return when it was asked last."""
        return self._meanwhile(self.synced)

    def _meanwhile(self, at: datetime) -> str:
        """Return this instant; nothing is known of it but the start of all this."""
        return max(at, self.since.replace(microsecond=0)).isoformat()


def _slept(night: Json, *stages: str) -> str:
    """Return the hours spent in any of these stages."""
    return str(sum(night["minutes"].get(stage, 0) for stage in stages) / 60 or "unknown")


def _edge(night: Json, *, end: bool) -> str:
    """Return when sleep began or ended, less what the sleeper lay awake before or after it."""
    stage, minutes = night["stages"][-1 if end else 0]
    awake = timedelta(minutes=minutes if stage == "awake" else 0)
    edge = datetime.fromisoformat(night["end" if end else "start"])
    return (edge - awake if end else edge + awake).isoformat()


READINGS = ("heart_rate", "spo2", "hrv", "stress", "temperature")

COUNTERS = ("steps", "distance", "energy")
NIGHT_FIGURES: Mapping[str, Callable[[Json], str]] = {
    "fell_asleep": partial(_edge, end=False),
    "woke_up": partial(_edge, end=True),
    "last_night_sleep": lambda night: _slept(night, "light", "deep", "rem"),
    "last_night_deep_sleep": lambda night: _slept(night, "deep"),
    "last_night_light_sleep": lambda night: _slept(night, "light"),
    "last_night_rem_sleep": lambda night: _slept(night, "rem"),
    "last_night_awake": lambda night: _slept(night, "awake"),
}


def last_recording(held: Json) -> Json | None:
    """Return what an oximeter recorded last, but for a moment on a finger."""
    whole: list[Json] = [
        recording
        for recording in held["recordings"]
        if recording["final"] and recording["duration"] >= SHORTEST_RECORDING
    ]
    return whole[-1] if whole else None


def _end(recording: Json) -> str:
    """Return when a recording ended; rings' clocks know whole seconds."""
    start = datetime.fromisoformat(recording["start"]).replace(microsecond=0)
    return (start + timedelta(seconds=recording["duration"])).isoformat()


def _on_off(value: Any) -> str:
    return "on" if int(value) & 1 else "off"


def _named(*names: str) -> Callable[[Any], str]:
    return lambda value: names[int(value)]


type Settings = Mapping[str, tuple[Sequence[str], Callable[[Any], str]]]
"""What is set, by its names in the rings, and what is told of it there means."""

TRACKER_SETTINGS: Settings = {
    "brightness": (("brightness",), str),
    "display": (("on",), _on_off),
    "display_all_day": (("all_day",), _on_off),
    "display_end": (("end",), "{}:00".format),
    "display_start": (("start",), "{}:00".format),
    "distance_goal": (("distance",), str),
    "energy_goal": (("energy",), lambda calories: str(calories / 1000)),
    "heart_rate_interval": (("heart_rate_interval",), str),
    "heart_rate_logging": (("heart_rate_log",), _on_off),
    "hrv_logging": (("hrv",), _on_off),
    "spo2_logging": (("spo2",), _on_off),
    "steps_goal": (("steps",), str),
    "stress_logging": (("stress",), _on_off),
    "temperature_logging": (("temperature",), _on_off),
    "wearing_hand": (("hand",), str),
}
OXIMETER_SETTINGS: Settings = {
    "brightness": (("brightness", "LightStr"), _named("low", "medium", "high")),
    "display": (("display", "LightingMode"), _named("standard", "off", "on")),
    "pulse_alarm_high": (("pulse_high", "HRHighThr"), str),
    "pulse_alarm_low": (("pulse_low", "HRLowThr"), str),
    "pulse_alarm_vibration": (("pulse_switch", "HRSwitch"), _on_off),
    "spo2_alarm_limit": (("spo2_low", "CurOxiThr"), str),
    "spo2_alarm_vibration": (("spo2_switch", "OxiSwitch"), _on_off),
    "steps_goal": (("CurPedtar",), str),
    "storage_interval": (("interval",), "{}s".format),
    "vibration": (("motor", "CurMotor"), str),
}

type Expected = Mapping[str, Callable[[Truth], str | None]]


def _settings(table: Settings) -> Expected:
    return {
        key: partial(Truth.setting, names=names, meaning=meaning)
        for key, (names, meaning) in table.items()
    }


SHARED: Expected = {
    **dict.fromkeys(("hand_over", "live"), lambda _: "off"),
    "battery": lambda truth: str(truth.held["battery"]),
    "charging": lambda truth: "on" if truth.held["charging"] else "off",
    "contact": lambda _: "ok",
    "in_range": lambda _: "on",
    "last_sync": Truth.last_sync,
    "rssi": lambda truth: str(truth.held["rssi"]),
}
OXIMETER: Expected = {
    **SHARED,
    **_settings(OXIMETER_SETTINGS),
    **{metric: partial(Truth.live, metric=metric) for metric in ("spo2", "heart_rate", "motion")},
    **{key: partial(Truth.recording, figure=figure) for key, figure in FIGURES.items()},
    "last_measurement": Truth.last_taken,
    "perfusion_index": Truth.perfusion_index,
    "voltage": lambda truth: _text(truth.held.get("battery_voltage")),
    "worn": lambda truth: "on" if truth.held["worn"] else "off",
}
TRACKER: Expected = {
    **SHARED,
    **_settings(TRACKER_SETTINGS),
    **{metric: partial(Truth.value, metric=metric) for metric in READINGS},
    **{metric: partial(Truth.today, metric=metric) for metric in COUNTERS},
    **{key: partial(Truth.night, figure=figure) for key, figure in NIGHT_FIGURES.items()},
    "measuring": lambda _: "off",
    "last_measurement": Truth.last_measurement,
}


def expected(held: Json) -> Expected:
    """Return what a ring that holds this should show."""
    return OXIMETER if "recordings" in held else TRACKER


async def run(home: HomeAssistant, simulator: Simulator) -> list[Row]:
    """Add all rings, wait for their first sync, and return each entity beside the truth.

    Raises:
        TimeoutError: a ring was not discovered or not synced.
        RuntimeError: a ring was not added.
    """
    for address in simulator.rings:
        await hold_still(simulator, address)
    before = {address: await Snapshot.take(simulator, address) for address in simulator.rings}
    await add(home, simulator.rings)
    rows: list[Row] = []
    for address in simulator.rings:
        await until_known(home, address, "last_sync")
        await enable(home, address)
        rows += await compare(home, simulator, address, before[address])
    return rows


async def hold_still(simulator: Simulator, address: str) -> None:
    """Let a worn oximeter measure the same in all seconds: it is not asked in that of the check."""
    held = await simulator.ask("truth", ring=address)
    for track, value in STILL.items() if held.get("live") and held["worn"] else ():
        await simulator.ask("set", ring=address, path=f"pinned.{track}", value=value)


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
        found: dict[str, str] = {}
        async with asyncio.timeout(DISCOVERY_TIMEOUT):
            while not found.keys() >= set(addresses):
                found |= _discovered(await changes.get())
    # Together: after a ring was added, its first sync keeps others waiting.
    await asyncio.gather(*(_confirm(home, found[address]) for address in addresses))


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


async def enable(home: HomeAssistant, address: str) -> None:
    """Enable all of a ring's entities that have a state and are disabled by default."""
    hidden = [
        entity
        for entity in (await _registered(home, address)).values()
        if entity["disabled_by"] and not _is_stateless(entity)
    ]
    for entity in hidden:
        await home.websocket.call(
            "config/entity_registry/update", entity_id=entity["entity_id"], disabled_by=None
        )
    # Home Assistant would wait for half a minute. It does so too, when this ring is compared.
    for entry_id in {entity["config_entry_id"] for entity in hidden}:
        await home.rest("POST", f"config/config_entries/entry/{entry_id}/reload")


async def shown(home: HomeAssistant, address: str) -> dict[str, Json]:
    """Return the states of a ring's entities by their keys, less those that have none."""
    states = await home.states()
    return {
        key: states[entity["entity_id"]]
        for key, entity in (await _registered(home, address)).items()
        if entity["entity_id"] in states and entity["entity_id"].partition(".")[0] not in STATELESS
    }


def _is_stateless(entity: Json) -> bool:
    domain, _, _ = entity["entity_id"].partition(".")
    return domain in STATELESS


async def _registered(home: HomeAssistant, address: str) -> dict[str, Json]:
    """Return a ring's entities by what follows its key, which need not be its address."""
    devices = await home.websocket.call("config/device_registry/list")
    keys = {
        device["id"]: key
        for device in devices
        if ["bluetooth", address] in device["connections"]
        for domain, key in device["identifiers"]
        if domain == DOMAIN
    }
    return {
        entity["unique_id"].removeprefix(f"{keys[entity['device_id']]}_"): entity
        for entity in await home.websocket.call("config/entity_registry/list")
        if entity["platform"] == DOMAIN and entity["device_id"] in keys
    }


async def compare(
    home: HomeAssistant, simulator: Simulator, address: str, before: Snapshot
) -> list[Row]:
    """Return all that a ring's enabled entities show, and all they should show.

    `before` was taken before the ring was asked. Its wearer lives on, so that what is shown is of
    then or of now.
    """
    after = await Snapshot.take(simulator, address)
    states = await shown(home, address)
    registered = await _registered(home, address)
    synced, measured = (_instant(states.get(key)) for key in ("last_sync", "last_measurement"))
    then, now = (
        Truth(snapshot.held, before.at, synced or before.at, measured)
        for snapshot in (before, after)
    )
    rows = []
    table = expected(after.held)
    for key in sorted({*table, *states}):
        shows, holds = states.get(key), table.get(key, _nothing)
        row = Row(
            ring=simulator.rings[address],
            entity=key,
            state=shows["state"] if shows else None,
            unit=shows["attributes"].get("unit_of_measurement") if shows else None,
            truth=holds(now),
        )
        of_then = replace(row, truth=holds(then))
        disabled = key in registered and registered[key]["disabled_by"]
        if not disabled and (shows or row.truth is not None):
            rows.append(of_then if of_then.right else row)
    return rows


def _instant(state: Json | None) -> datetime | None:
    """Return what a state is, if it is a time."""
    at = _value(state["state"]) if state else None
    return at if isinstance(at, datetime) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _nothing(_: Truth) -> None:
    return None


def _discovered(changes: Iterable[Json]) -> dict[str, str]:
    """Return address → flow of the rings that wait on the integrations' page."""
    flows = (change.get("flow") or {} for change in changes)
    return {f["context"]["unique_id"]: f["flow_id"] for f in flows if f.get("handler") == DOMAIN}


async def _confirm(home: HomeAssistant, flow_id: str) -> None:
    step = await home.continue_flow(flow_id, {})
    if step["type"] != "create_entry":
        raise RuntimeError(f"not added: {step.get('errors') or step.get('reason')}")


def _number(text: str) -> float:
    """Return a number as exactly as a conversion of its unit leaves it."""
    return round(float(text), 6)


def _value(text: str) -> float | datetime | str:
    """Return what a text means, so that 72 is 72.0 and an instant the same in every zone."""
    for parse in (_number, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            pass
    return text
