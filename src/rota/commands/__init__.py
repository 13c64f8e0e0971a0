"""The commands of the command line, one module each; loaded by :mod:`rota.cli` when they are asked for."""
