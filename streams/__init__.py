"""Everything that touches a log. Begin with `router` and `emitter` for applications, with `pipeline` for what is behind them.

Beside them stand what carries records (`live` and `embedded` in applications, `agents` and `worker` behind Kafka, `memory`), and packages for what
each is made of: `calls` (a router), `leadership` (whoever leads), `brokers` (Kafka), `recordings`, `notifications`, `operators` and `doctor` (people).
"""
