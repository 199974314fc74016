"""The report on sweeps: what was measured as rows, statistics of them, figures, tables, and the
page that holds all."""
