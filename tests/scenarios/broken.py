"""A scenario that cannot be loaded; a test starts the server with it."""

raise ValueError("out of order")
