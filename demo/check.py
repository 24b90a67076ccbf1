"""Whether Home Assistant shows what the virtual rings hold."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .home_assistant import HomeAssistant, Json
from .simulator import Simulator

DOMAIN = "smart_rings"
DISCOVERY_TIMEOUT = 60
SYNC_TIMEOUT = 120
UNKNOWN = ("unknown", "unavailable")


@dataclass(frozen=True)
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
        return self.state is not None and self.state == self.truth


async def add_all(home: HomeAssistant, addresses: set[str]) -> None:
    """Add these rings as a person does: look for them, then confirm each one.

    Raises:
        TimeoutError: not all of them were discovered.
        RuntimeError: one could not be added.
    """
    async with home.websocket.subscribe("config_entries/flow/subscribe") as changes:
        # Opening the dialogue makes an active scan, without which a ring that tells its name only
        # when asked for it stays unknown for minutes.
        step = await home.start_flow(DOMAIN)
        if step["type"] == "form":
            await home.drop_flow(step["flow_id"])
        async with asyncio.timeout(DISCOVERY_TIMEOUT):
            waiting = set(addresses)
            while waiting:
                for change in await changes.get():
                    flow = change.get("flow") or {}
                    address = flow.get("context", {}).get("unique_id")
                    if flow.get("handler") == DOMAIN and address in waiting:
                        waiting.discard(address)
                        await _confirm(home, flow["flow_id"])


async def _confirm(home: HomeAssistant, flow_id: str) -> None:
    step = await home.continue_flow(flow_id, {})
    if step["type"] != "create_entry":
        raise RuntimeError(f"not added: {step.get('errors') or step.get('reason')}")


async def entities(home: HomeAssistant) -> dict[tuple[str, str], Json]:
    """Return our enabled entities' registry entries by (ring's address, key)."""
    rows = await home.websocket.call("config/entity_registry/list")
    ours = (row for row in rows if row["platform"] == DOMAIN and not row["disabled_by"])
    found = {}
    for row in ours:
        address, _, key = row["unique_id"].partition("_")
        found[address, key] = row
    return found


async def until_synced(home: HomeAssistant, addresses: set[str]) -> None:
    """Return once each ring's *last sync* is known.

    Raises:
        TimeoutError: it did not happen.
    """
    async with (
        asyncio.timeout(SYNC_TIMEOUT),
        home.websocket.subscribe("subscribe_events", event_type="state_changed") as changes,
    ):
        while True:
            states = await home.states()
            ours = await entities(home)
            last = (ours.get((address, "last_sync")) for address in addresses)
            if all(row and states[row["entity_id"]]["state"] not in UNKNOWN for row in last):
                return
            await changes.get()
