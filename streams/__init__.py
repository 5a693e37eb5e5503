"""Everything that touches a log. Begin with `router` and `emitter` for applications, with `pipeline` for what is behind them."""
