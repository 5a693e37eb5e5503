"""People are told: webhooks, with retries, each incident once."""
