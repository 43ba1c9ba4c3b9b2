"""Buying: every purchase is priced, allowed, written into a ledger and sent once."""
