"""The process and what surrounds it: the terminal, signals, a scheduler. Nothing here knows of
runs."""
