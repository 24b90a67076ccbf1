"""What only a person can put right."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN
from .rings.ring import Ring


@callback
def async_warn_of_loss(hass: HomeAssistant, key: str, name: str, ring: Ring) -> None:
    """Warn while a ring may overwrite a recording nobody has read when it is put on next."""
    issue = f"recordings_unread_{key}"
    if ring.slots is None or ring.unread < ring.slots - 1:
        ir.async_delete_issue(hass, DOMAIN, issue)
        return
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue,
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key="recordings_unread",
        translation_placeholders={
            "name": name,
            "unread": str(ring.unread),
            "slots": str(ring.slots),
        },
    )
