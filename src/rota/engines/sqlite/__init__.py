"""The embedded engine: one SQLite file in WAL mode with an fsync at every commit."""
