"""Virtual rings behind a virtual ESPHome Bluetooth proxy, written from docs/protocols/."""
