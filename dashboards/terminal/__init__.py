"""What operators see in a terminal: `journal` takes records of the log, `view` makes them a picture, `app` shows it."""
