"""An application that chooses by itself, reports with an emitter, and rates the answers later."""

from routecast import Config, Emitter

config = Config.model_validate({"target": [{"id": "east", "provider": "openai", "model": "gpt-4o", "service": "chat"}]})

with Emitter.connect("memory://feedback", config=config) as emitter:
    emitter.started("request-1", "east", service="chat")
    emitter.completed("request-1", "east", "ok", duration_ms=830, output_tokens=120, start_reported=True)
    emitter.completed("request-2", "east", "error", duration_ms=40, error_type="server_error")
    print(f"{emitter.emitted} events reported, {emitter.dropped} dropped")
