"""What the names of curves begin with in `metrics.csv` and in other logs."""

PLAYERS = ("d/", "g/")
"""A loss, or another value of D or of G."""

SPECTRAL_NORM = "sigma/"
"""The spectral norm of a layer, whose name follows."""

GRADIENT_NORM = "gradient_norm/"
"""The length of a player's gradient; "d" or "g" follows."""

FINAL = "final/"
"""A score of the evaluation after the last update, whose name follows."""
