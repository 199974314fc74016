"""The configs."""
