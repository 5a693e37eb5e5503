"""Pure functions and small state machines, one concept a file: time and randomness are parameters. Begin with `fold` or `snapshot`.

`fold`, `pane`, `merge` make figures of events, `snapshot` and `score` make what routers read of figures, `balance` draws. What each step is made of:
`routing` (in a router), `fleet` (in a snapshot), `windows` (what people read). What the figures mean: `changes`, `alerts`, `capacity`,
`recommendations`, put together by `insights`. What would have been: `simulation`, `backtest`, `evaluation`, `experiments`, on `tables`.
"""
