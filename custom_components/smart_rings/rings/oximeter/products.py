"""What rings of either family may be called: firmware of 2025 made products change protocols.

Sections refer to docs/protocols/viatom.md.
"""

from dataclasses import dataclass, replace

from ..recognise import Model, Rule

ANYTHING = Rule()
# Newer firmware tells its pairing and, in a byte for each of the two services, what it speaks
# there (§1.2): an upper half of 2 is the protocol of oxyii.md, which is the second service's.
SPEAKS_OXYII = Rule(company=0xF34E, payload="####2#*")


@dataclass(frozen=True, slots=True)
class Product:
    """A product, and the names it advertises."""

    key: str
    name: str
    maker: str
    patterns: tuple[str, ...]


def _product(key: str, name: str, *patterns: str, maker: str = "Viatom") -> Product:
    """Return a product whose name is followed by anything, if not told otherwise."""
    return Product(key, name, maker, patterns or (f"{name}*",))


# First match wins, so that the longer of two names that begin alike comes first (§1.1).
PRODUCTS = (
    _product("o2ring_f", "O2RingF", maker="Wellue"),
    _product("o2ring_re", "O2Ring-RE", maker="Wellue"),
    _product("o2ring", "O2Ring", maker="Wellue"),
    _product("o2_max", "Checkme O2 Max", "O2M ####", "O2M-WPS*"),
    _product("o2_intg", "O2 Intg"),
    _product("o2r_wave", "O2R WAVE"),
    # "O2" alone is anybody's name.
    _product("checkme_o2", "Checkme O2", "O2 ####", "Checkme_O2*", "CheckO2*"),
    _product("o2_nci", "Checkme O2 NCI", "O2NCI*"),
    _product("o2s", "O2S", "O2S ####"),
    _product("snore_o2", "SnoreO2", "O2BAND*"),
    _product("sleep_o2", "SleepO2"),
    _product("sleep_u", "SleepU"),
    _product("wear_o2", "WearO2"),
    _product("oxylink", "Oxylink"),
    _product("kids_o2", "KidsO2"),
    _product("oxyfit", "Oxyfit"),
    _product("oxy_ring", "OxyRing"),
    _product("oxy_u_se", "OxyU SE"),
    _product("oxy_u", "OxyU"),
    _product("baby_o2_s2", "BabyO2 S2", "BabyO2N*"),
    _product("baby_o2", "BabyO2"),
    _product("cmring", "CMRing"),
    _product("ai_s100", "AI-S100"),
    _product("shqflex", "SHQFlex"),
)

# Their vibration has a scale of its own (§7.3).
FINE_VIBRATION = frozenset({"kids_o2", "oxylink", "baby_o2", "baby_o2_s2"})
# Cleared as medical devices with fixed settings (§5).
READ_ONLY = frozenset({"2D010004", "24010007", "24010009", "24010010"})


def models(family: str, shows: Rule, otherwise: str | None = None) -> tuple[Model, ...]:
    """Return the models of a family, told by their names and by what `shows` asks for.

    `otherwise` is the family they may turn out to be of.
    """
    return tuple(
        Model(
            f"{family}_{product.key}",
            product.maker,
            product.name,
            tuple(replace(shows, name=pattern) for pattern in product.patterns),
            otherwise and f"{otherwise}_{product.key}",
        )
        for product in PRODUCTS
    )
