"""The MCP server: tools, resources, prompts, tasks, subscriptions, the player, and the transports."""
