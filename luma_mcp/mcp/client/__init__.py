"""The client of a call: how long it waits, how progress is reported to it, and how its user is asked."""
