"""The figures of a night follow the stated rule."""

from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest

from custom_components.smart_rings.rings.analysis import count_drops, figures
from demo.night import drops

SECOND = timedelta(seconds=1)


def night(seed: int, seconds: int) -> list[int]:
    """Return a wandering signal with dips and gaps."""
    random = Random(seed)
    level, spo2 = 96, list[int]()
    while len(spo2) < seconds:
        level = min(99, max(93, level + random.choice((-1, 0, 0, 1))))
        kind = random.random()
        if kind < 0.02:
            depth, length = random.randint(2, 12), random.randint(2, 90)
            spo2 += [level - depth * min(i, length - i) * 2 // length for i in range(length)]
        elif kind < 0.03:
            spo2 += [0] * random.randint(1, 200)
        else:
            spo2 += [level] * random.randint(1, 30)
    return spo2[:seconds]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("interval", [1, 4])
@pytest.mark.parametrize("depth", [3, 4])
def test_drops_equal_a_slow_reading_of_the_rule(seed: int, interval: int, depth: int) -> None:
    spo2 = night(seed, 2400)
    assert count_drops(bytes(spo2), interval * SECOND, depth) == drops(spo2, interval, depth)


def steady(*parts: tuple[int, int]) -> bytes:
    return b"".join(bytes((level,)) * seconds for level, seconds in parts)


@pytest.mark.parametrize(
    ("spo2", "threes", "fours"),
    [
        pytest.param(steady((97, 300)), 0, 0, id="steady"),
        pytest.param(steady((97, 60), (94, 20), (97, 60)), 1, 0, id="three points"),
        pytest.param(steady((97, 60), (93, 20), (97, 60)), 1, 1, id="four points"),
        pytest.param(steady((97, 60), (93, 9), (97, 60)), 0, 0, id="too short"),
        pytest.param(steady((97, 60), (93, 20), (95, 20), (93, 20), (97, 9)), 1, 1, id="one event"),
        pytest.param(steady((97, 60), (93, 20), (96, 9), (93, 20)), 2, 2, id="recovered between"),
        pytest.param(steady((97, 60), (93, 600)), 1, 1, id="a new level is one drop"),
        pytest.param(
            b"".join(bytes((level,)) * 60 for level in range(97, 85, -1)), 0, 0, id="slow decline"
        ),
        pytest.param(steady((97, 60), (90, 3), (0, 60)), 0, 0, id="taken off is no drop"),
    ],
)
def test_drops(spo2: bytes, threes: int, fours: int) -> None:
    found = figures(spo2, bytes(len(spo2)), SECOND)
    assert (found.drops_3, found.drops_4) == (threes, fours)


def test_night_in_numbers() -> None:
    spo2, pulse = steady((97, 7000), (88, 200), (0, 100)), steady((60, 7000), (80, 200), (0, 100))
    found = figures(spo2, pulse, SECOND)
    assert (found.duration, found.measured) == (7300 * SECOND, 7200 * SECOND)
    assert found.spo2_mean == pytest.approx(96.75)
    assert (found.spo2_min, found.below_90) == (88, 200 * SECOND)
    assert found.below_90_share == pytest.approx(100 / 36)
    assert (found.odi_3, found.odi_4) == (0.5, 0.5)
    assert (found.pulse_min, found.pulse_max) == (60, 80)
    assert found.pulse_mean == pytest.approx(60.5555, abs=1e-3)


def test_nothing_measured_has_no_numbers() -> None:
    found = figures(bytes(7200), bytes(7200), SECOND)
    assert found.duration == timedelta(hours=2)
    assert (found.spo2_mean, found.spo2_min, found.below_90_share) == (None, None, None)
    assert (found.odi_3, found.pulse_mean, found.pulse_max) == (None, None, None)


def test_short_recording_has_no_index() -> None:
    assert figures(steady((97, 60), (90, 30)), b"", SECOND).odi_3 is None


def test_longer_means_no_fewer_drops_of_lesser_depth() -> None:
    spo2 = bytes(night(9, 2000))
    counts = [count_drops(spo2, SECOND, depth) for depth in (2, 3, 4, 6, 8)]
    assert all(more >= fewer for more, fewer in pairwise(counts))
