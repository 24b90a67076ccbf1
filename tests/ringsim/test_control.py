"""The control port, and the command that opens it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
import json
import signal
import sys
from typing import Any

import pytest

from ringsim.__main__ import DEFAULT_RINGS, parser
from ringsim.control import Control, ControlError, ask
from ringsim.proxy import Proxy
from ringsim.radio import Radio
from ringsim.rings import MODELS
from ringsim.rings.base import Faults

from .echo import ANSWER, COMMAND, EchoRing, echo_ring

pytestmark = pytest.mark.usefixtures("socket_enabled")

ADDRESS = echo_ring().address


@pytest.fixture
async def ring() -> EchoRing:
    return echo_ring()


@pytest.fixture
async def radio(ring: EchoRing) -> AsyncIterator[Radio]:
    air = Radio()
    air.add(ring)
    yield air
    air.stop()


@pytest.fixture
async def proxy(radio: Radio) -> AsyncIterator[Proxy]:
    proxy = Proxy(radio, "proxy-1", "02:00:00:00:00:01")
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def port(radio: Radio, proxy: Proxy) -> AsyncIterator[int]:
    server = await Control(radio, [proxy]).serve()
    yield server.sockets[0].getsockname()[1]
    server.close()
    server.close_clients()


async def test_lists_what_there_is(port: int) -> None:
    (ring,) = await ask(port, "rings")
    assert (ring["address"], ring["name"], ring["connected"]) == (ADDRESS, "Echo 1", False)
    (proxy,) = await ask(port, "proxies")
    assert (proxy["name"], proxy["running"], proxy["subscribed"]) == ("proxy-1", True, False)


async def test_a_changed_attribute_changes_the_truth(port: int, ring: EchoRing) -> None:
    await ask(port, "set", ring=ADDRESS, path="battery", value=12)
    assert ring.battery == 12
    assert await ask(port, "truth", ring=ADDRESS) == {"battery": 12, "rssi": -60}
    assert await ask(port, "get", ring=ADDRESS.lower(), path="battery") == 12


async def test_values_take_the_type_of_what_they_replace(port: int, ring: EchoRing) -> None:
    await ask(port, "set", ring=ADDRESS, path="clock.offset", value=-90)
    await ask(port, "set", ring=ADDRESS, path="manufacturer", value="ff01")
    await ask(port, "set", ring=ADDRESS, path="faults.corrupt", value=[1, 3])
    assert ring.clock.offset == timedelta(seconds=-90)
    assert ring.manufacturer == b"\xff\x01"
    assert ring.faults.corrupt == frozenset({1, 3})
    await ask(port, "jump_clock", ring=ADDRESS, seconds=30)
    assert await ask(port, "get", ring=ADDRESS, path="clock.offset") == -60
    assert await ask(port, "get", ring=ADDRESS, path="manufacturer") == "ff01"
    assert await ask(port, "get", ring=ADDRESS, path="faults.corrupt") == [1, 3]


async def test_faults_replace_those_before(port: int, ring: EchoRing) -> None:
    await ask(port, "faults", ring=ADDRESS, split=4, ignore=[3], answer_other={"3": "ee"})
    assert ring.faults.split == 4
    assert ring.faults.ignore == frozenset({3})
    assert ring.faults.answer_other == {3: b"\xee"}
    await ask(port, "faults", ring=ADDRESS, drop_after=2)
    assert ring.faults == Faults(drop_after=2)


@pytest.mark.parametrize(
    ("do", "undo"),
    [
        (("leave", {}), ("come_back", {})),
        (("drop", {}), ("advertise", {})),
        (("power", {"on": False}), ("power", {"on": True})),
    ],
    ids=str,
)
async def test_breaks_links(
    port: int, radio: Radio, do: tuple[str, dict[str, Any]], undo: tuple[str, dict[str, Any]]
) -> None:
    link = await radio.connect(ADDRESS, "test")
    await ask(port, do[0], ring=ADDRESS, **do[1])
    assert not link.is_connected
    await ask(port, undo[0], ring=ADDRESS, **undo[1])
    assert (await radio.connect(ADDRESS, "test")).is_connected


async def test_a_proxy_out_of_earshot(port: int, radio: Radio) -> None:
    (proxy,) = await ask(port, "proxies")
    await ask(port, "rssi", ring=ADDRESS, proxy="proxy-1", rssi=None)
    assert radio.rssi(ADDRESS, proxy["source"]) is None


async def test_stops_and_starts_a_proxy_on_its_port(port: int) -> None:
    (before,) = await ask(port, "proxies")
    await ask(port, "stop_proxy", proxy="proxy-1")
    assert not (await ask(port, "proxies"))[0]["running"]
    with pytest.raises(OSError):  # noqa: PT011
        await asyncio.open_connection("127.0.0.1", before["port"])
    await ask(port, "start_proxy", proxy="proxy-1")
    assert (await ask(port, "proxies")) == [before]


async def test_others_hold_slots_of_a_proxy(proxy: Proxy, port: int) -> None:
    await ask(port, "occupy", proxy="proxy-1", others=2)
    assert proxy.slots_state()["free"] == proxy.slots - 2


async def test_waits_for_packets(radio: Radio) -> None:
    reached = asyncio.create_task(Control(radio, []).wait_packets(ADDRESS, 2))
    await asyncio.sleep(0)
    link = await radio.connect(ADDRESS, "test")
    await asyncio.sleep(0)
    assert not reached.done()
    await link.write(COMMAND, b"\x03", response=True)
    await reached
    assert not radio.observers


async def test_tells_and_counts_the_packets(port: int, radio: Radio) -> None:
    link = await radio.connect(ADDRESS, "test")
    await link.subscribe(ANSWER)
    answered = asyncio.Event()
    link.on_notification = lambda *_: answered.set()
    await link.write(COMMAND, b"\x03", response=True)
    await answered.wait()
    assert await ask(port, "counters", ring=ADDRESS) == {
        "connections": 1,
        "to_ring": 1,
        "from_ring": 1,
    }
    log = await ask(port, "log")
    assert [(p["address"], p["to_ring"], p["value"]) for p in log[1:]] == [
        (ADDRESS, True, "03"),
        (ADDRESS, False, "03"),
    ]
    await ask(port, "clear_log")
    assert await ask(port, "log", ring=ADDRESS) == []


@pytest.mark.parametrize(
    ("do", "arguments", "why"),
    [
        ("truth", {"ring": "nobody"}, "No ring nobody"),
        ("stop_proxy", {"proxy": "none"}, "No proxy none"),
        ("faults", {"ring": ADDRESS, "gremlins": 3}, "No fault gremlins"),
        ("set", {"ring": ADDRESS, "path": "batery", "value": 3}, "batery"),
        ("truth", {}, "ring"),
        ("serve", {}, "serve"),
        ("_ring", {"address": ADDRESS}, "_ring"),
    ],
)
async def test_says_what_is_wrong(port: int, do: str, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ControlError, match=why):
        await ask(port, do, **arguments)
    assert await ask(port, "rings")


async def test_survives_what_is_no_json(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for line in (b"nonsense\n", b"[1]\n", b"{}\n"):
        writer.write(line)
        assert json.loads(await reader.readline())["ok"] is False
    writer.write(b'{"do": "rings"}\n')
    assert json.loads(await reader.readline())["ok"] is True
    writer.close()


async def test_the_command_is_ready_and_ends_with_ctrl_c() -> None:
    command = (sys.executable, "-m", "ringsim", "--port", "0", "--proxies", "2", "--days", "1")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    ready = json.loads(await process.stdout.readline())
    assert [proxy["name"] for proxy in ready["proxies"]] == ["ringsim-1", "ringsim-2"]
    assert [ring["model"] for ring in ready["rings"]] == list(DEFAULT_RINGS)
    truth = await ask(ready["control"], "truth", ring=ready["rings"][0]["address"])
    assert 0 < truth["battery"] <= 100
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


def test_help_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "ESPHome" in shown
    for model in MODELS:
        assert model in shown
