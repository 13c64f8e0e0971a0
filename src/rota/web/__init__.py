"""How the world reaches it: REST, sockets, and the JSON in which both speak."""
