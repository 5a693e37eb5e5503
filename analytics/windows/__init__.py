"""From ten seconds to a day: sums that move on with the panes, figures people read, windows that are closed and corrected."""
