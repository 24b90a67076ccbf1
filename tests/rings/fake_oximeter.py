"""Oximeters as far as the library's tests need them: files, values, and what can go wrong."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta, timezone
import json
from random import Random

from bleak import BleakClient

from custom_components.smart_rings.rings import MODELS, connect
from custom_components.smart_rings.rings.clock import Clock
from custom_components.smart_rings.rings.models import Batch, Cursor, Recording, RingMemory
from custom_components.smart_rings.rings.oximeter.frames import crc8
from custom_components.smart_rings.rings.oxyii import frames as oxyii_frames
from custom_components.smart_rings.rings.oxyii import ring as oxyii
from custom_components.smart_rings.rings.ring import Ring
from custom_components.smart_rings.rings.viatom import ring as viatom
from tests.rings.fake_client import FakeClient

NOW = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
ZONE = timezone(timedelta(hours=1))
LOCAL = datetime.fromisoformat("2026-11-21T08:30:00")


# Field of SET_CONFIG: byte of GET_CONFIG.
CONFIG_OFFSETS = {2: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6, 9: 7, 10: 8}


class FakeOximeter:
    """A ring of either family; `cut` is after how many notifications the link is lost."""

    marker: int
    notify: str
    write: str

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.clock = LOCAL
        self.spo2, self.pulse, self.pi, self.motion = 255, 65535, 0, 0
        self.mtu = 247
        self.cut: int | None = None
        self.asked: list[int] = []
        self.mute: set[int] = set()
        self.stray: Callable[[bytes], Iterable[bytes]] = lambda _: ()
        self.served = 0
        self.connections = 0
        self.client: FakeClient

    async def connect(self, on_lost: Callable[[BleakClient], None]) -> BleakClient:
        self.connections += 1
        self._request = b""
        self.client = FakeClient(self.notify, self.write, self._take)
        self.connected()
        return await self.client.connect(on_lost)  # type: ignore[no-any-return]

    def connected(self) -> None:
        """Begin a connection."""

    def wear(self, spo2: int = 97, pulse: int = 60, pi: int = 25, motion: int = 3) -> None:
        self.spo2, self.pulse, self.pi, self.motion = spo2, pulse, pi, motion

    def reply(self, opcode: int, payload: bytes) -> Iterable[bytes]:
        raise NotImplementedError

    def _take(self, _: str, data: bytes) -> Iterator[bytes]:
        assert len(data) <= 20
        self._request += data
        if len(self._request) < 8 + int.from_bytes(self._request[5:7], "little"):
            return
        request, self._request = self._request, b""
        assert request[0] == self.marker
        assert crc8(request[:-1]) == request[-1]
        self.asked.append(request[1])
        if request[1] in self.mute:
            return
        for frame in (*self.stray(request), *self.answer(request)):
            for piece in self.split(frame):
                if self.cut is not None:
                    if not self.cut:
                        self.client.drop()
                        return
                    self.cut -= 1
                yield piece

    def split(self, frame: bytes) -> Iterable[bytes]:
        """Split a frame into notifications."""
        size = self.mtu - 3
        return (frame[at : at + size] for at in range(0, len(frame), size))

    def answer(self, request: bytes) -> Iterable[bytes]:
        raise NotImplementedError


class FakeLegacy(FakeOximeter):
    """Speaks 0xAA."""

    marker, notify, write = 0xAA, viatom.NOTIFY, viatom.WRITE

    def __init__(self) -> None:
        super().__init__()
        self.lead = 0
        self.values: dict[str, str] = {"CurOxiThr": "88", "CurMotor": "60", "OxiSwitch": "1"}
        self.serial = "20112B2627"
        self.branch = "21070000"
        self.echoes = True
        self.chunk = 500
        self.lost_blocks: set[int] = set()
        self.instead: bytes | None = None
        self._open = b""

    def info(self) -> dict[str, str]:
        return self.values | {
            "Model": "1652",
            "HardwareVer": "AA",
            "SoftwareVer": "1.2.0",
            "SN": self.serial,
            "BranchCode": self.branch,
            "CurTIME": self.clock.strftime("%Y-%m-%d,%H:%M:%S"),
            "FileList": ",".join(self.files) + ",",
        }

    def answer(self, request: bytes) -> Iterable[bytes]:  # noqa: PLR0911
        payload, block = request[7:-1], int.from_bytes(request[3:5], "little")
        match request[1]:
            case 0x14:
                return [self.frame(json.dumps(self.info()).encode().ljust(512, b"\0"))]
            case 0x17:
                values = bytes((self.spo2, *self.pulse.to_bytes(2, "little"), 0, 0, 0, 0, 80, 0))
                return [self.frame(values + bytes((self.motion, self.pi, self.lead, 0)))]
            case 0x16:
                self._sync(json.loads(payload))
                return [self.frame(bytes(4))]
            case 0x03:
                name = payload.rstrip(b"\0").decode()
                if name not in self.files:
                    return [self.frame(b"\x09\0\0\0", status=1)]
                self._open = self.files[name] if self.instead is None else self.instead
                return [self.frame(len(self._open).to_bytes(4, "little"))]
            case 0x04:
                if block in self.lost_blocks:
                    self.lost_blocks.remove(block)
                    return []
                data = self._open[block * self.chunk : (block + 1) * self.chunk]
                self.served += len(data)
                return [self.frame(data, block=block if self.echoes else 0)]
            case _:
                return [self.frame(b"")]

    def frame(self, payload: bytes, status: int = 0, block: int = 0) -> bytes:
        head = bytes((0x55, status, status ^ 0xFF)) + block.to_bytes(2, "little")
        body = head + len(payload).to_bytes(2, "little") + payload
        return body + bytes((crc8(body),))

    def _sync(self, values: dict[str, str]) -> None:
        for key, value in values.items():
            if key == "SetTIME":
                self.clock = datetime.fromisoformat(value.replace(",", "T"))
            else:
                name = key.removeprefix("Set")
                self.values[name if name in self.values else f"Cur{name}"] = value


class FakeOxyII(FakeOximeter):
    """Speaks 0xA5."""

    marker, notify, write = 0xA5, oxyii.NOTIFY, oxyii.WRITE

    def __init__(self) -> None:
        super().__init__()
        self.sensor = 0
        self.serial = b"2632300541"
        self.branch = b"2D010001"
        self.config = bytearray.fromhex("3158327814140002040a").ljust(40, b"\0")
        self.spoilt: int | None = None
        self.refused: dict[int, int] = {}
        self.data_cap: int | None = None
        self.key: bytes | None = None
        self.pads_empty = False
        self.zone: int | None = None
        self.requests: list[tuple[int, bytes]] = []
        self._open: bytes | None = None

    def connected(self) -> None:
        self._left = self.data_cap

    def wear(self, *args: int, **kwargs: int) -> None:
        super().wear(*args, **kwargs)
        self.sensor = 1

    def answer(self, request: bytes) -> Iterable[bytes]:
        opcode, seq, payload = request[1], request[4], request[7:-1]
        if opcode == 0xFF:
            if self.key is None:
                return []
            salt = bytes.fromhex("c2a7cf50dafed885a8f8f7eac44335f3")
            blob = bytes((1, 16, 0, 0)) + self.key
            told = bytes(byte ^ salt[n % 16] for n, byte in enumerate(blob))
            return [self.frame(opcode, told, seq)]
        if self.key and (payload or self.pads_empty):
            if len(payload) % 16 or not payload:
                return [self.frame(opcode, b"", seq, flag=0xF3)]
            payload = oxyii_frames.decrypt(self.key, payload)
        self.requests.append((opcode, payload))
        if opcode in self.refused:
            return [self.frame(opcode, b"", seq, flag=self.refused[opcode])]
        reply = self.payload(opcode, payload)
        if reply is None:
            return []
        if self.key and reply:
            reply = oxyii_frames.encrypt(self.key, reply)
        return [self.frame(opcode, reply, seq)]

    def payload(self, opcode: int, payload: bytes) -> bytes | None:  # noqa: PLR0911
        match opcode:
            case 0xE1:
                head = b"B" + bytes.fromhex("0005000102000000") + self.branch
                head += bytes.fromhex("01400852160100") + self._time() + b"\xe0\x07" + bytes(4)
                return (head + bytes((len(self.serial),)) + self.serial).ljust(60, b"\0")
            case 0xE4:
                return bytes.fromhex("00447a0f")
            case 0x02 | 0x04:
                head = bytes(4) + bytes((2, self.sensor, self.spo2, self.pi))
                head += self.pulse.to_bytes(2, "little") + bytes((0xC7, self.motion, 0, 68))
                return head.ljust(20, b"\0")
            case 0x00:
                return bytes(self.config)
            case 0x01:
                self._configure(payload[0], payload[4])
                return b""
            case 0xC0 | 0xEC:
                year = int.from_bytes(payload[:2], "little")
                self.clock = datetime(year, *payload[2:7])  # noqa: DTZ001
                self.zone = int.from_bytes(payload[7:8], signed=True)
                return b""
            case 0xF1:
                slots = b"".join(name.encode().ljust(16, b"\0") for name in self.files)
                return bytes((len(self.files),)) + slots
            case 0xF2:
                if self._open is not None:
                    return None
                self._open = self.files[payload[:16].rstrip(b"\0").decode()]
                return len(self._open).to_bytes(4, "little")
            case 0xF3:
                return self._data(int.from_bytes(payload, "little"))
            case 0xF4:
                self._open = None
                return b""
        return b""

    def frame(self, opcode: int, payload: bytes, seq: int, flag: int = 1) -> bytes:
        body = bytes((0xA5, opcode, opcode ^ 0xFF, flag, seq))
        body += len(payload).to_bytes(2, "little") + payload
        return body + bytes((crc8(body),))

    def _data(self, offset: int) -> bytes | None:
        if self._left is not None:
            if not self._left:
                return None
            self._left -= 1
        assert self._open is not None
        data = self._open[offset : offset + 512]
        self.served += len(data)
        return data

    def _time(self) -> bytes:
        at = self.clock
        fields = bytes((at.month, at.day, at.hour, at.minute, at.second))
        return at.year.to_bytes(2, "little") + fields

    def _configure(self, field: int, value: int) -> None:
        match field:
            case 1:
                self.config[0] = self.config[0] & 0xFC | value
            case 3:
                self.config[0] = self.config[0] & 0xCF | value << 4
            case _:
                self.config[CONFIG_OFFSETS[field]] = value
        if self.spoilt is not None:
            self.config[self.spoilt] ^= 1


def format_a(count: int, start: datetime, seed: int = 1, interval: int = 1) -> bytes:
    """Return a finished file of random plausible samples."""
    random = Random(seed)
    body = bytearray(bytes((1, 3, 0, 0, 0, 0, 0, 0, 4, 0)))
    for _ in range(count):
        body += bytes((random.randint(80, 99), random.randint(45, 90), random.randint(0, 63)))
    wall = int(start.replace(tzinfo=UTC).timestamp())
    trailer = sum(body).to_bytes(4, "little") + bytes.fromhex("48125ada")
    trailer += wall.to_bytes(4, "little") + count.to_bytes(4, "little")
    trailer += bytes((interval, 1, 3)).ljust(16, b"\0")
    return bytes(body) + trailer + bytes((0, 0, 95, 80, 7, 3, 2, 120, 0, 1, 93, 0, 0, 0, 0, 60))


def vld(count: int, start: datetime, seed: int = 1) -> bytes:
    """Return a .vld file of random plausible samples, four seconds apart."""
    random = Random(seed)
    head = bytes((3, 0)) + start.year.to_bytes(2, "little")
    head += bytes((start.month, start.day, start.hour, start.minute, start.second))
    head += (40 + 5 * count).to_bytes(4, "little") + (4 * count).to_bytes(2, "little")
    head += bytes((0, 0, 96, 89, 4, 2, 0, 30, 0, 1, 95))
    rows = (
        bytes((random.randint(80, 99), random.randint(45, 90), 0, random.randint(0, 200), 0))
        for _ in range(count)
    )
    return head.ljust(40, b"\0") + b"".join(rows)


class Contacts:
    """One ring over many connections, with what is kept between them."""

    def __init__(self, fake: FakeOximeter, model: str) -> None:
        self.fake = fake
        self.model = MODELS[model]
        self.memory = RingMemory()
        self.cursor: Cursor = {}
        self.records: list[Recording] = []
        self.now = NOW

    def open(self) -> AbstractAsyncContextManager[Ring]:
        """Return a connected ring, whose memory went through JSON."""
        self.memory = RingMemory.from_dict(json.loads(json.dumps(self.memory.as_dict())))
        clock = Clock(self.memory.clock, ZONE, lambda: self.now, self.memory.doubts)
        return connect(self.model, self.fake.connect, self.memory, clock)

    async def contact(self) -> None:
        """Take what there is, on a connection of its own."""
        async with self.open() as ring:
            await self.history(ring)

    async def history(self, ring: Ring) -> None:
        """Take what there is."""
        async for batch in ring.history(self.cursor):
            self.keep(batch)

    def keep(self, batch: Batch) -> None:
        self.cursor = json.loads(json.dumps(dict(batch.cursor)))
        for record in batch.records:
            assert isinstance(record, Recording)
            self.records.append(record)
