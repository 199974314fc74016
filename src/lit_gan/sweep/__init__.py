"""Grids of runs: which cells there are, who trains them, and how far they are. Nothing here imports
torch early."""
