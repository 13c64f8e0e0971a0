"""Programs that others sent: the sandbox in which they run."""
