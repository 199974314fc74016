"""Slips in classes of one's own that would be ignored without a word."""
