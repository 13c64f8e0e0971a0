"""What programs use: tasks, clients and the worker. Imports nothing of the server."""
