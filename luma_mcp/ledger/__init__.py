"""The record of every purchase: rows, states, reservations, caps and the two stores."""
