"""Requests, models, prices, rules and errors: no I/O, no MCP, and no JSON of any API."""
