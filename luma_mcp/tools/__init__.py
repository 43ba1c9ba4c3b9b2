"""Every tool, one file for each noun. A tool is a plain typed function; `_toolset` makes it one for MCP."""
