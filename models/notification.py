"""What is posted to a webhook: one sentence for people, and the alert for programs."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from routecast.models.insights import Alert


class Notification(BaseModel):
    """An alert that is to wake somebody, or tells that it is over."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    text: str
    """What receivers for people show."""
    test: bool | None = None
    """True where nothing is the matter: somebody tries the way; absent otherwise."""
    alert: Alert

    @classmethod
    def of(cls, alert: Alert) -> Self:
        """The notification of this alert."""
        return cls(text=f"{'over' if alert.state == 'cleared' else alert.severity}: {alert.title}", alert=alert)

    @property
    def key(self) -> str:
        """Names the notification: one that comes again, because its delivery could not be noted, has the same."""
        return f"{self.alert.id}/{self.alert.version}"

    def encode(self) -> bytes:
        """JSON, what is unknown left out."""
        return self.model_dump_json(exclude_none=True).encode()
