"""The front of the house: routes, the hall, the writer of event streams. Imports aiohttp.web."""
