"""Advertisement → model: data of the families, and one function that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import hexdigits

# The longest name an advertisement of a ring was ever seen with is half of this.
MAX_NAME = 32


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The parts of an advertisement that rings are told by."""

    name: str = ""
    service_uuids: frozenset[str] = frozenset()
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """What an advertisement must show; every field that is given must hold.

    In `name`, `#` stands for a hexadecimal digit and a closing `*` for any rest, as in `payload`:
    the company's data, written in hexadecimal digits. A `busy` ring can't be talked to while it
    shows this.
    """

    name: str = ""
    service_uuid: str = ""
    company: int | None = None
    payload: str = "*"
    busy: bool = False

    def holds(self, advertisement: Advertisement) -> bool:
        """Whether the advertisement shows all of it."""
        data = advertisement.manufacturer_data
        return (
            (not self.name or _fits(self.name, advertisement.name))
            and (not self.service_uuid or self.service_uuid in advertisement.service_uuids)
            and (
                self.company is None
                or (self.company in data and _fits(self.payload, data[self.company].hex()))
            )
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of ring: `key` is stored in entries and never changes.

    `otherwise` is the key of what it may turn out to be when it is talked to.
    """

    key: str
    manufacturer: str
    name: str
    rules: tuple[Rule, ...]
    otherwise: str | None = None

    @property
    def product(self) -> str:
        """Return the key without the family."""
        return self.key.partition("_")[2]

    def rule_for(self, advertisement: Advertisement) -> Rule | None:
        """Return the rule that holds."""
        return next((rule for rule in self.rules if rule.holds(advertisement)), None)


def first_match(models: Mapping[str, Model], advertisement: Advertisement) -> Model | None:
    """Return the first model one of whose rules holds."""
    if len(advertisement.name) > MAX_NAME:
        return None
    return next((m for m in models.values() if m.rule_for(advertisement)), None)


def _fits(pattern: str, name: str) -> bool:
    stem = pattern.removesuffix("*")
    if len(name) < len(stem) or (stem == pattern and len(name) > len(stem)):
        return False
    return all(
        char in hexdigits if wanted == "#" else char == wanted
        for wanted, char in zip(stem, name, strict=False)
    )
