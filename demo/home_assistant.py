"""A Home Assistant process on a configuration folder of its own, and a client of its API."""

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
import itertools
import json
from pathlib import Path
import re
import sys
from typing import Any, Self

import aiohttp
from homeassistant.const import RESTART_EXIT_CODE

from . import process

REPOSITORY = Path(__file__).parents[1]
HOST = "127.0.0.1"
USER = "demo"
PASSWORD = "smart-rings"  # noqa: S105 (printed for the person who tries the demo)
# The first start compiles Home Assistant's byte code.
START_TIMEOUT = 120
ANSWER_TIMEOUT = 60

# `default_config` less what asks for packages or services outside this machine.
CONFIGURATION = """\
homeassistant:
  name: Smart Rings
  country: NL
  currency: EUR
  unit_system: metric
  latitude: 52.09
  longitude: 5.12
  elevation: 5
  time_zone: {time_zone}
logger:
  default: info
recorder:
  commit_interval: 1
frontend:
config:
my:
history:
logbook:
energy:
automation:
backup:
bluetooth:
calendar:
"""

# Errors of a machine without media tools (they concern cameras and loudspeakers), and of a page
# that was left while something was on its way to it.
_NOISE = ("ffmpeg", "libturbojpeg", "Cannot write to closing transport")
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.MULTILINE)
_OURS = "custom_components.smart_rings"
_UNTESTED = "We found a custom integration"
# What a person was told who asked for something that could not be done.
_TOLD = "Error during service call to"

type Json = dict[str, Any]


def complaints(log: str) -> list[str]:
    """Return what a log should not hold: errors, tracebacks, warnings of ours."""
    starts = [match.start() for match in _RECORD.finditer(log)]
    records = [log[start:end] for start, end in itertools.pairwise([*starts, len(log)])]
    return [record for record in records if _is_complaint(record)]


def _is_complaint(record: str) -> bool:
    if any(noise in record for noise in _NOISE):
        return False
    level = record.split(maxsplit=3)[2]
    ours = _OURS in record and _UNTESTED not in record
    error = level in {"ERROR", "CRITICAL"} and _TOLD not in record
    return error or "Traceback" in record or (ours and level == "WARNING")


class HomeAssistant:
    """One home: its folder, its process, and an open websocket while it runs.

    Args:
        folder: an empty or not yet existing folder for the configuration.
        time_zone: the home's IANA time zone.
    """

    def __init__(self, folder: Path, time_zone: str) -> None:
        self.folder = folder
        self.url = f"http://{HOST}:{process.free_port()}"
        self.websocket: Websocket
        self._time_zone = time_zone
        self._process: Process | None = None
        self._session: aiohttp.ClientSession
        self._token = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self.url)
        try:
            self._write_configuration()
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._session.close()

    @property
    def log(self) -> str:
        """All that was logged, over all starts."""
        return (self.folder / "console.log").read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Start, and return when everything is set up."""
        with (self.folder / "console.log").open("ab") as console:
            self._process = await process.start(
                sys.executable,
                *("-m", "homeassistant", "--config", str(self.folder)),
                # Only what scripts/setup installed: nothing is fetched while somebody waits.
                *("--skip-pip", "--log-no-color"),
                stdout=console,
                stderr=console,
            )
        async with asyncio.timeout(START_TIMEOUT):
            await self._until_http_answers()
            if not self._token:
                self._token = await self._onboard()
            self.websocket = await Websocket.open(self._session, self._token)
            await self._until_running()

    async def stop(self) -> None:
        """Shut down as a person would."""
        await self._close(process.stop)

    async def kill(self) -> None:
        """End without any warning, like a power cut."""
        await self._close(process.kill)

    async def until_ended(self) -> None:
        """Return when the process ended by itself; one that wants to be restarted is."""
        while self._process and await self._process.wait() == RESTART_EXIT_CODE:
            await self.start()

    async def rest(self, method: str, path: str, body: Json | None = None) -> Any:
        """Call the REST API and return its answer.

        Raises:
            RuntimeError: it refused.
        """
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with self._session.request(
            method, f"/api/{path}", json=body, headers=headers, timeout=_PATIENCE
        ) as response:
            if not response.ok:
                raise RuntimeError(f"{method} {path}: {response.status} {await response.text()}")
            return await response.json()

    async def start_flow(self, handler: str) -> Json:
        """Start a config flow as *Add integration* does and return its first step."""
        return await self._flow("", {"handler": handler})

    async def continue_flow(self, flow_id: str, answers: Json) -> Json:
        """Answer a step of a config flow and return the next one."""
        return await self._flow(f"/{flow_id}", answers)

    async def drop_flow(self, flow_id: str) -> None:
        """Close a config flow's dialogue."""
        await self.rest("DELETE", f"config/config_entries/flow/{flow_id}")

    async def add_bluetooth_proxy(self, port: int) -> None:
        """Add an ESPHome device on this machine, as a person adds a Bluetooth proxy."""
        step = await self.start_flow("esphome")
        step = await self.continue_flow(step["flow_id"], {"host": HOST, "port": port})
        if step["type"] != "create_entry":
            raise RuntimeError(f"the Bluetooth proxy was not accepted: {step}")

    async def states(self) -> dict[str, Json]:
        """Return all states by entity id."""
        return {state["entity_id"]: state for state in await self.websocket.call("get_states")}

    async def _flow(self, suffix: str, body: Json) -> Json:
        step: Json = await self.rest("POST", f"config/config_entries/flow{suffix}", body)
        return step

    def _write_configuration(self) -> None:
        storage = self.folder / ".storage"
        storage.mkdir(parents=True)
        configuration = CONFIGURATION.format(time_zone=self._time_zone)
        (self.folder / "configuration.yaml").write_text(configuration, encoding="utf-8")
        (self.folder / "custom_components").symlink_to(REPOSITORY / "custom_components")
        port = int(self.url.rpartition(":")[2])
        # A port that comes from configuration.yaml is only on trial and ends Home Assistant after
        # five minutes; one that is stored is in force.
        http = {"server_host": [HOST], "server_port": port, "ssl_profile": "modern"}
        http |= {"cors_allowed_origins": [], "login_attempts_threshold": -1}
        http |= {"ip_ban_enabled": True, "use_x_frame_options": True}
        stored = {"stable": http, "pending": None, "yaml_migration_done": True}
        self._store("http", 2, 2, stored)
        # The other steps would set up services of the Internet.
        self._store("onboarding", 4, 1, {"done": ["core_config", "analytics", "integration"]})

    def _store(self, key: str, version: int, minor_version: int, data: Json) -> None:
        content = {"version": version, "minor_version": minor_version, "key": key, "data": data}
        (self.folder / ".storage" / key).write_text(json.dumps(content), encoding="utf-8")

    async def _until_http_answers(self) -> None:
        while True:
            if self._process and self._process.returncode is not None:
                raise RuntimeError(f"Home Assistant ended by itself:\n{self.log[-3000:]}")
            try:
                async with self._session.get("/manifest.json"):
                    return
            except aiohttp.ClientConnectionError:
                # A starting process has nothing to wait on but its port.
                await asyncio.sleep(0.1)

    async def _until_running(self) -> None:
        async with self.websocket.subscribe(
            "subscribe_events", event_type="homeassistant_started"
        ) as events:
            config = await self.websocket.call("get_config")
            if config["state"] != "RUNNING":
                await events.get()

    async def _onboard(self) -> str:
        """Create the user and return an access token, which lasts half an hour."""
        client_id = f"{self.url}/"
        user = {"name": "Demo", "username": USER, "password": PASSWORD, "language": "en"}
        answer = await self.rest("POST", "onboarding/users", {"client_id": client_id, **user})
        grant = {"grant_type": "authorization_code", "code": answer["auth_code"]}
        async with self._session.post("/auth/token", data={"client_id": client_id, **grant}) as got:
            got.raise_for_status()
            token: str = (await got.json())["access_token"]
            return token

    async def _close(self, end: Callable[[Process], Awaitable[None]]) -> None:
        if self._process is None:
            return
        if hasattr(self, "websocket"):
            await self.websocket.close()
        await end(self._process)
        self._process = None


_PATIENCE = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)


class Websocket:
    """Home Assistant's websocket API: calls and subscriptions over one connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._subscriptions: dict[int, asyncio.Queue[Any]] = {}
        self._reader: asyncio.Task[None]

    @classmethod
    async def open(cls, session: aiohttp.ClientSession, token: str) -> Self:
        """Connect and log in."""
        websocket = cls(await session.ws_connect("/api/websocket", max_msg_size=0))
        await websocket._socket.receive_json()
        await websocket._socket.send_json({"type": "auth", "access_token": token})
        answer = await websocket._socket.receive_json()
        if answer["type"] != "auth_ok":
            raise RuntimeError(f"login refused: {answer}")
        websocket._reader = asyncio.create_task(websocket._read())
        return websocket

    async def call(self, command: str, **arguments: Any) -> Any:
        """Send a command and return its result.

        Raises:
            RuntimeError: it was refused, or the connection ended.
        """
        return await self._call(next(self._ids), command, arguments)

    @asynccontextmanager
    async def subscribe(self, command: str, **arguments: Any) -> AsyncGenerator[asyncio.Queue[Any]]:
        """Yield a queue of a subscription's events; it is shut down when the line is cut."""
        number = next(self._ids)
        queue = self._subscriptions[number] = asyncio.Queue()
        try:
            await self._call(number, command, arguments)
            yield queue
        finally:
            del self._subscriptions[number]
            if not self._socket.closed:
                await self.call("unsubscribe_events", subscription=number)

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close()
        await self._reader

    async def _call(self, number: int, command: str, arguments: Json) -> Any:
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "type": command, **arguments})
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                message = await answer
        finally:
            del self._calls[number]
        if not message["success"]:
            raise RuntimeError(f"{command} refused: {message['error']['message']}")
        return message.get("result")

    async def _read(self) -> None:
        async for frame in self._socket:
            message = frame.json()
            number = message["id"]
            if message["type"] == "event" and number in self._subscriptions:
                self._subscriptions[number].put_nowait(message["event"])
            elif message["type"] == "result" and number in self._calls:
                self._calls[number].set_result(message)
        for answer in self._calls.values():
            answer.set_exception(RuntimeError("Home Assistant hung up"))
        for queue in self._subscriptions.values():
            queue.shutdown()
