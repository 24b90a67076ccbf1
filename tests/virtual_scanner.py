"""A Bluetooth proxy as Home Assistant knows them, that hears and reaches virtual rings."""

import asyncio
from functools import partial
from typing import override

from habluetooth import (
    Allocations,
    BaseHaRemoteScanner,
    BluetoothScanningMode,
    HaBluetoothConnector,
)
from homeassistant.components.bluetooth import async_register_scanner
from homeassistant.core import CALLBACK_TYPE, HomeAssistant

from ringsim.radio import Radio
from ringsim.rings.base import VirtualRing
from tests.bleak_backend import RadioClient


class VirtualScanner(BaseHaRemoteScanner):
    """A proxy in its usual mode: it hears scan responses only when asked for an active scan."""

    def __init__(
        self,
        radio: Radio,
        source: str = "AA:00:00:00:00:01",
        *,
        slots: int = 3,
        connectable: bool = True,
    ) -> None:
        super().__init__(
            source,
            f"proxy {source[-2:]}",
            HaBluetoothConnector(
                client=partial(  # type: ignore[arg-type]
                    RadioClient, radio=radio, source=source, track=self._connected
                ),
                source=source,
                can_connect=lambda: self._free > 0,
            ),
            connectable=connectable,
            requested_mode=BluetoothScanningMode.AUTO,
            current_mode=BluetoothScanningMode.PASSIVE,
        )
        self.radio = radio
        self.slots = slots
        self._links: list[RadioClient] = []
        self._ends: list[CALLBACK_TYPE] = []

    def start(self, hass: HomeAssistant) -> None:
        """Come up."""
        self._ends = [
            self.async_setup(),
            async_register_scanner(hass, self, source_domain="test"),
            self.radio.listen(self),
        ]

    def stop(self) -> None:
        """Go down, all links with it."""
        for link in self._links:
            if link.is_connected:
                link.link.lose()
        while self._ends:
            self._ends.pop()()

    def heard(self, ring: VirtualRing, rssi: int) -> None:
        """Pass an advertisement on."""
        raw = ring.advertisement
        if self.current_mode is BluetoothScanningMode.ACTIVE:
            raw += ring.scan_response
        now = asyncio.get_running_loop().time()
        self._async_on_raw_advertisement(
            ring.address, rssi, raw, {"address_type": ring.address_type}, now
        )

    @override
    def get_allocations(self) -> Allocations:
        allocated = [link.address for link in self._links if link.is_connected]
        return Allocations(self.source, self.slots, self._free, allocated)

    @override
    async def async_request_active_window(self, duration: float) -> bool:
        self.set_current_mode(BluetoothScanningMode.ACTIVE)
        await asyncio.sleep(duration)
        self.set_current_mode(BluetoothScanningMode.PASSIVE)
        return True

    @property
    def _free(self) -> int:
        return self.slots - sum(link.is_connected for link in self._links)

    def _connected(self, client: RadioClient) -> None:
        self._links = [link for link in self._links if link.is_connected] + [client]
