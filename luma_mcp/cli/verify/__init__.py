"""`dream-machine-mcp verify`: compare an API of Luma with what this project assumes of it.

`plan` states what is bought, `world` buys and records, `dream_machine` and `agents` read the record, `report` prints.
"""
