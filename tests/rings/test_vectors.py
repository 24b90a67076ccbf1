"""Bytes and what they mean, from captures: requests encode to them, replies decode to them."""

from importlib import import_module
import json
from pathlib import Path
from typing import Any

import pytest

OWN = Path(__file__).parent / "vectors"

type Vector = dict[str, Any]


def load(folder: Path) -> list[tuple[str, Vector]]:
    """Return (family, vector) of every `<family>.json` in a folder."""
    return [
        (path.stem, vector)
        for path in sorted(folder.glob("*.json"))
        for vector in json.loads(path.read_text("utf-8"))
    ]


def run(family: str, vector: Vector) -> None:
    """Check a vector in both directions."""
    try:
        kinds = import_module(f"tests.rings.vectors_{family}").KINDS
    except ModuleNotFoundError:
        pytest.fail(f"unknown family {family}")
    if vector["kind"] not in kinds:
        pytest.fail(f"unknown kind {vector['kind']}")
    kind = kinds[vector["kind"]]
    wanted = vector["decoded"]
    if (request := vector.get("request_hex")) and kind.encode:
        assert kind.encode(wanted, bytes.fromhex(request)).hex() == request
    replies = vector["response_hex"]
    if replies or not request:
        assert kind.decode is not None, "the vector has a reply, but nothing decodes it"
        assert kind.decode([bytes.fromhex(reply) for reply in replies], wanted) == wanted


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        folder = Path(metafunc.config.getoption("--vectors", default=None) or OWN)
        found = load(folder)
        assert found, f"no vectors in {folder}"
        ids = [f"{family}-{vector['name']}" for family, vector in found]
        metafunc.parametrize(("family", "vector"), found, ids=ids)


def test_vector(family: str, vector: Vector) -> None:
    run(family, vector)


def _first(kind: str) -> Vector:
    vectors = json.loads((OWN / "colmi.json").read_text("utf-8"))
    return next(v for v in vectors if v["kind"] == kind and v["response_hex"])


def test_corrupted_reply_fails() -> None:
    vector = _first("battery")
    frame = bytearray.fromhex(vector["response_hex"][0])
    frame[1] += 1
    with pytest.raises((AssertionError, StopIteration)):
        run("colmi", vector | {"response_hex": [frame.hex()]})


def test_other_value_fails() -> None:
    vector = _first("battery")
    with pytest.raises(AssertionError):
        run("colmi", vector | {"decoded": vector["decoded"] | {"battery_percent": 1}})


def test_other_request_fails() -> None:
    vector = _first("battery")
    with pytest.raises(AssertionError):
        run("colmi", vector | {"request_hex": "04" + vector["request_hex"][2:]})


def test_unknown_kind_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match="unknown kind"):
        run("colmi", {"kind": "horoscope", "decoded": {}, "response_hex": []})
