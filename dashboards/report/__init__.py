"""Reports that open in a browser: one file, no network; charts as SVG by one small module."""
