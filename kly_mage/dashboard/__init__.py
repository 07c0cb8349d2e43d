"""The dashboard: gold, and how it came about, as pages for people who look rather than read."""
