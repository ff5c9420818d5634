"""Which licences an installation accepts: an allow-list, `models/licences.toml`.

A model under any other licence is not pulled, exported or built into an index. Without the file
nothing is blocked, and locks say so.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import InvalidSettings, LicenceRefused

POLICY = "licences.toml"

Verdict: TypeAlias = Literal["allowed", "refused", "no policy"]


class _Terms(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    obligations: list[str] = []


class _PolicyTable(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    schema_version: Literal[1]
    allowed: dict[str, _Terms]


@dataclass(frozen=True, slots=True)
class LicencePolicy:
    """Allowed SPDX names, each with what it obliges us to; None allows everything."""

    allowed: Mapping[str, tuple[str, ...]] | None = field(default=None)

    @classmethod
    def load(cls, models: Path) -> "LicencePolicy":
        """Read the policy of a models folder; without a file it blocks nothing.

        Raises:
            InvalidSettings: the file is there and cannot be used.
        """
        path = models / POLICY
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls()
        try:
            table = _PolicyTable.model_validate(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise InvalidSettings(
                f"the licence policy {POLICY} cannot be used: {error}", "Correct it."
            ) from error
        return cls({name: tuple(terms.obligations) for name, terms in table.allowed.items()})

    def verdict(self, licence: str) -> Verdict:
        """Say whether a licence, by its SPDX name, is accepted."""
        if self.allowed is None:
            return "no policy"
        return "allowed" if licence in self.allowed else "refused"

    def obligations(self, licence: str) -> tuple[str, ...]:
        """What an accepted licence obliges us to."""
        return (self.allowed or {}).get(licence, ())


def check_licence(model_id: str, licence: str, policy: LicencePolicy) -> None:
    """Block a model whose licence is not on the allow-list.

    Raises:
        LicenceRefused: it is not; names the model, the licence and where the list is.
    """
    if policy.verdict(licence) == "refused":
        raise LicenceRefused(
            f"{model_id} is under {licence}, which is not on the list of accepted licences.",
            f"Have the licence read, then add it to models/{POLICY}.",
        )
