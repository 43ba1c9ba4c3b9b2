"""The arguments of tools: their types, their names and the schema that a client gets."""
