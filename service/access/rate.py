"""How much a key may ask: so many requests in so much time."""

import re
from dataclasses import dataclass
from typing import Final, Self

from service.errors import InvalidInput

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600}
_FORM: Final = re.compile(r"([1-9][0-9]{0,8})/([smh])")


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` requests in every `window_s` seconds."""

    amount: int
    window_s: int

    @property
    def per_s(self) -> float:
        """Requests a second, on average."""
        return self.amount / self.window_s

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `100/s`, `6000/m` or `50000/h`.

        Raises:
            InvalidInput: it is written otherwise.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidInput(
                f"{text!r} is no rate.", "Write a whole number and s, m or h, such as 100/s."
            )
        return cls(int(match[1]), _UNITS_S[match[2]])

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _UNITS_S.items() if seconds == self.window_s)
        return f"{self.amount}/{unit}"
