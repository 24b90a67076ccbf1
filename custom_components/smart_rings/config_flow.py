"""Finding and adding a ring, and its options."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
import logging
from typing import Any, NamedTuple, Self, override

from bluetooth_data_tools import human_readable_name
from homeassistant.components.bluetooth import (
    BluetoothServiceInfoBleak,
    async_address_present,
    async_discovered_service_info,
    async_request_active_scan,
)
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlowWithReload,
)
from homeassistant.const import CONF_ADDRESS, CONF_MODEL, CONF_NAME
from homeassistant.core import callback
from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
)
import voluptuous as vol

from .const import CONF_TRIED, DOMAIN, OPTIONS
from .contact import Contact, ContactError
from .coordinator import RingCoordinator
from .rings import MODELS, family_of, recognise
from .rings.models import RingMemory
from .rings.recognise import Advertisement, Model

_LOGGER = logging.getLogger(__name__)
MAX_TRIED = 100

OPTIONS_SCHEMA = vol.Schema(
    {
        vol.Required(key, default=option.default): NumberSelector(
            NumberSelectorConfig(
                min=option.low, max=option.high, step=1, unit_of_measurement=option.unit
            )
        )
        for key, option in OPTIONS.items()
    }
)


class Found(NamedTuple):
    """A ring that was heard."""

    address: str
    name: str
    model: Model

    @classmethod
    def of(cls, info: BluetoothServiceInfoBleak) -> Self | None:
        """Tell from an advertisement whether it is a ring of ours."""
        model = recognise(
            Advertisement(info.name, frozenset(info.service_uuids), info.manufacturer_data)
        )
        if model is None:
            return None
        # Most names end in the last two bytes of the address already; where the address changes,
        # the name holds something of the ring's own.
        shown = info.address.replace(":", "")[-4:]
        named = family_of(model).identity_is_serial or info.name.upper().endswith(shown)
        name = info.name if named else human_readable_name(None, info.name, info.address)
        return cls(info.address, name, model)


class SmartRingsConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds one ring. Nothing is sent to a ring before a person chose it."""

    VERSION = 1

    def __init__(self) -> None:
        """Know no ring yet."""
        self._found: dict[str, Found] = {}

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> SmartRingsOptionsFlow:
        return SmartRingsOptionsFlow()

    @override
    async def async_step_bluetooth(
        self, discovery_info: BluetoothServiceInfoBleak
    ) -> ConfigFlowResult:
        if (found := Found.of(discovery_info)) is None:
            return self.async_abort(reason="not_supported")
        await self.async_set_unique_id(found.address)
        self._abort_if_unique_id_configured()
        # A ring that is known by its serial number.
        self._async_abort_entries_match({CONF_ADDRESS: found.address})
        await self._async_look_for_missing(found)
        self._found = {found.address: found}
        self.context["title_placeholders"] = {"name": found.name}
        return await self.async_step_bluetooth_confirm()

    def _missing(self, found: Found) -> list[ConfigEntry]:
        """Return the rings that are missing and were called like this one; it may be one of them.

        Each address is tried once.
        """
        return [
            entry
            for entry in self._async_current_entries(include_ignore=False)
            if entry.data.get(CONF_NAME) == found.name
            and MODELS[entry.data[CONF_MODEL]].name == found.model.name
            and found.address not in entry.data.get(CONF_TRIED, ())
            and self._is_missing(entry)
        ]

    def _is_missing(self, entry: ConfigEntry) -> bool:
        if entry.state is ConfigEntryState.LOADED:
            coordinator: RingCoordinator = entry.runtime_data
            return coordinator.is_missing
        return not async_address_present(self.hass, entry.data[CONF_ADDRESS], connectable=True)

    async def _async_look_for_missing(self, found: Found) -> None:
        """End the flow if it is a ring of ours under a new address, which its entry then has."""
        if not (missing := self._missing(found)):
            return
        memory = RingMemory()
        with suppress(ContactError):
            contact = Contact(self.hass, found.model, found.address, found.name)
            async with contact.open(memory) as ring:
                await ring.info()
        if memory.info.serial:
            await self._async_claim(memory.info.serial, found)
            await self.async_set_unique_id(found.address)
        for entry in missing:
            tried = [*entry.data.get(CONF_TRIED, ()), found.address][-MAX_TRIED:]
            self.hass.config_entries.async_update_entry(
                entry, data={**entry.data, CONF_TRIED: tried}
            )

    async def async_step_bluetooth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask first: all rings of the neighbourhood are discovered, and each contact costs."""
        (found,) = self._found.values()
        if user_input is None:
            return self._show("bluetooth_confirm", {"name": found.name})
        return await self._async_connect("bluetooth_confirm", found)

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        return await self._async_choose("user", user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Try the ring again, under another address if it has one now."""
        return await self._async_choose(
            "reconfigure", user_input, self._get_reconfigure_entry().data[CONF_ADDRESS]
        )

    async def _async_choose(
        self, step: str, user_input: dict[str, Any] | None, own: str | None = None
    ) -> ConfigFlowResult:
        """Let a person choose among the rings in reach; those of other entries are left out."""
        if user_input is not None:
            return await self._async_connect(step, self._found[user_input[CONF_ADDRESS]])
        # Some rings tell their name only when an active scan asks for it.
        await async_request_active_scan(self.hass)
        taken = {
            entry.data[CONF_ADDRESS] for entry in self._async_current_entries(include_ignore=False)
        }
        heard = map(Found.of, async_discovered_service_info(self.hass, connectable=True))
        self._found = {
            found.address: found for found in heard if found and found.address not in taken - {own}
        }
        if not self._found:
            return self.async_abort(reason="no_devices_found")
        return self._show(step, {}, suggested=own)

    async def _async_connect(self, step: str, found: Found) -> ConfigFlowResult:
        """Prove that it is a ring of ours; if that fails, show the step again with the reason."""
        by_serial = family_of(found.model).identity_is_serial
        if not by_serial:
            await self._async_claim(found.address, found)
        memory = RingMemory()
        try:
            contact = Contact(self.hass, found.model, found.address, found.name)
            contact.paused_until = self._paused_until()
            async with contact.open(memory) as ring:
                await ring.info()
        except ContactError as err:
            _LOGGER.info("No contact with %s: %s (%s)", found.name, err, err.detail)
            return self._show(step, err.translation_placeholders, found.address, err.reason)
        except Exception:
            _LOGGER.exception("Unexpected error while a ring was added")
            return self._show(step, {"name": found.name}, found.address, "unknown")
        if by_serial:
            await self._async_claim(memory.info.serial or found.address, found)
        data = {CONF_ADDRESS: found.address, CONF_MODEL: ring.model.key}
        if by_serial:
            data[CONF_NAME] = found.name
        if self.source == SOURCE_RECONFIGURE:
            return self.async_update_reload_and_abort(
                self._get_reconfigure_entry(), data_updates=data
            )
        return self.async_create_entry(title=found.name, data=data)

    def _paused_until(self) -> datetime | None:
        """Until when the ring that is reconfigured is left to its phone app."""
        if self.source != SOURCE_RECONFIGURE:
            return None
        entry = self._get_reconfigure_entry()
        loaded = entry.state is ConfigEntryState.LOADED
        return entry.runtime_data.contact.paused_until if loaded else None

    async def _async_claim(self, key: str, found: Found) -> None:
        """Take a ring's identity; end the flow if it is another entry's, or not this entry's."""
        await self.async_set_unique_id(key, raise_on_progress=False)
        if self.source == SOURCE_RECONFIGURE:
            self._abort_if_unique_id_mismatch()
        if key != found.address:
            # Its discovery, which may wait for an answer, knows it by its address only.
            for flow in self._async_in_progress(match_context={"unique_id": found.address}):
                self.hass.config_entries.flow.async_abort(flow["flow_id"])
        if self.source != SOURCE_RECONFIGURE:
            self._abort_if_unique_id_configured(updates={CONF_ADDRESS: found.address})

    def _show(
        self,
        step: str,
        placeholders: Mapping[str, str] | None,
        suggested: str | None = None,
        error: str | None = None,
    ) -> ConfigFlowResult:
        """Show the form of a step: nothing to fill in, or the choice of a ring."""
        options = [SelectOptionDict(value=f.address, label=f.name) for f in self._found.values()]
        chosen = vol.Required(CONF_ADDRESS, default=suggested or options[0]["value"])
        choice = vol.Schema({chosen: SelectSelector(SelectSelectorConfig(options=options))})
        return self.async_show_form(
            step_id=step,
            data_schema=None if step == "bluetooth_confirm" else choice,
            description_placeholders=placeholders,
            errors={"base": error} if error else None,
        )


class SmartRingsOptionsFlow(OptionsFlowWithReload):
    """What a person may choose of how a ring is treated."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Show or take the options."""
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                OPTIONS_SCHEMA, self.config_entry.options
            ),
        )
