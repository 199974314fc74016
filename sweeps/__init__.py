"""Sweeps: one file for each table or figure."""
