"""The background work of a small shop."""
