"""``rota bench``: what this machine, store and Rota do together, measured from outside.

A server and a worker run as processes of their own, as in production; the load comes from this one.
"""
