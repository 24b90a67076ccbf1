"""What only a person can mend about a ring, as long as it has to be mended."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import voluptuous as vol

from .const import DOMAIN
from .contact import Reason
from .coordinator import RingConfigEntry, RingCoordinator
from .rings import family_of

# Phone apps hold a ring for minutes by themselves, and for hours when one looks at them.
HELD_TOO_LONG = timedelta(days=1)
# Enough to bring the ring to Home Assistant before it overwrites what was not read.
NOTICE = timedelta(days=1)


def _held_by_app(coordinator: RingCoordinator) -> bool:
    error, since = coordinator.error, coordinator.failing_since
    held = error is not None and error.reason is Reason.CONNECTED_ELSEWHERE
    long = since is not None and dt_util.utcnow() - since >= HELD_TOO_LONG
    return held and long and coordinator.in_range


def _key_refused(coordinator: RingCoordinator) -> bool:
    return coordinator.error is not None and coordinator.error.reason is Reason.NEEDS_KEY


def _not_kept(coordinator: RingCoordinator) -> bool:
    return coordinator.error is not None and coordinator.error.reason is Reason.NOT_KEPT


def _left(coordinator: RingCoordinator) -> timedelta | None:
    """Return how long it takes until the ring overwrites what was not read."""
    keeps, last = family_of(coordinator.model).keeps, coordinator.last_sync
    return last + keeps - dt_util.utcnow() if keeps and last else None


def _runs_over(coordinator: RingCoordinator) -> bool:
    left = _left(coordinator)
    return left is not None and timedelta() < left <= NOTICE


def _ran_over(coordinator: RingCoordinator) -> bool:
    left = _left(coordinator)
    return left is not None and left <= timedelta()


def _slots_run_out(coordinator: RingCoordinator) -> bool:
    slots = family_of(coordinator.model).slots
    return slots is not None and coordinator.memory.unread >= slots - 1


ISSUES: Mapping[str, Callable[[RingCoordinator], bool]] = {
    "held_by_app": _held_by_app,
    "key_refused": _key_refused,
    "not_kept": _not_kept,
    "memory_runs_over": _runs_over,
    "memory_ran_over": _ran_over,
    "recordings_unread": _slots_run_out,
}


@callback
def async_watch(hass: HomeAssistant, coordinator: RingCoordinator) -> None:
    """Report what has to be mended, and take it back when it is.

    What a person chose to ignore stays ignored while the entry is reloaded.
    """
    entry = coordinator.config_entry

    @callback
    def look() -> None:
        for issue, holds in ISSUES.items():
            if not holds(coordinator):
                ir.async_delete_issue(hass, DOMAIN, _id(issue, entry))
                continue
            ir.async_create_issue(
                hass,
                DOMAIN,
                _id(issue, entry),
                data={"entry_id": entry.entry_id},
                is_fixable=True,
                severity=ir.IssueSeverity.WARNING,
                translation_key=issue,
                translation_placeholders={"name": coordinator.name},
            )

    look()
    entry.async_on_unload(coordinator.async_add_listener(look))
    entry.async_on_unload(lambda: async_forget(hass, entry) if entry.disabled_by else None)


@callback
def async_forget(hass: HomeAssistant, entry: RingConfigEntry) -> None:
    """Take back what was reported of a ring that is no longer ours to ask."""
    for issue in ISSUES:
        ir.async_delete_issue(hass, DOMAIN, _id(issue, entry))


def _id(issue: str, entry: RingConfigEntry) -> str:
    return f"{issue}_{entry.entry_id}"


class TryAgain(RepairsFlow):
    """Say what to do, then see whether it helped."""

    def __init__(self, coordinator: RingCoordinator) -> None:
        """Take the ring."""
        self._coordinator = coordinator

    async def async_step_init(self, _issue: dict[str, str] | None = None) -> RepairsFlowResult:
        """Begin with the only step."""
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Ask the ring; show the step again with what it is that still speaks against it."""
        placeholders = {"name": self._coordinator.name}
        errors = {}
        if user_input is not None:
            try:
                await self._coordinator.async_sync()
            except HomeAssistantError as err:
                errors = {"base": "no_contact"}
                placeholders["detail"] = str(err)
            else:
                return self.async_create_entry(data={})
        return self.async_show_form(
            step_id="confirm",
            data_schema=vol.Schema({}),
            errors=errors,
            description_placeholders=placeholders,
        )


async def async_create_fix_flow(
    hass: HomeAssistant, _issue_id: str, data: Mapping[str, Any] | None
) -> RepairsFlow:
    """Return what mends an issue."""
    entry: RingConfigEntry | None = hass.config_entries.async_get_entry((data or {})["entry_id"])
    if entry is None or entry.state is not ConfigEntryState.LOADED:
        raise ValueError("The ring is not set up")
    return TryAgain(entry.runtime_data)
