"""The transports that the server runs over: stdio and Streamable HTTP."""
