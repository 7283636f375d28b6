"""Things with a lifetime: background tasks, the clock, counters. Async, no network."""
