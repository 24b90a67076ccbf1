"""What can go wrong in a conversation with a ring."""


class RingError(Exception):
    """Any failure of a conversation with a ring."""


class RingTimeout(RingError):
    """The ring did not answer, or not to the end, in time."""


class RingDisconnected(RingError):
    """The link was lost."""


class RingRefused(RingError):
    """The ring answered that it will not do this; `code` is its own reason, where it gives one."""

    def __init__(self, message: str, code: int | str | None = None) -> None:
        """Keep the ring's own code beside the message."""
        super().__init__(message)
        self.code = code


class RingProtocolError(RingError):
    """The ring's answer was well-formed but makes no sense."""


class RingAuthError(RingError):
    """The ring wants a bond or a key that we don't have, or have no more."""


class RingNotSupported(RingError):
    """This is not a ring of the family, or it cannot do what was asked."""
