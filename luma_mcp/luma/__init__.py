"""An async client for Luma's Dream Machine API. Knows nothing of MCP and nothing of where its settings come from."""
