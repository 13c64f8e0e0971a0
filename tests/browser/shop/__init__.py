"""A program whose jobs are looked at in a browser."""
