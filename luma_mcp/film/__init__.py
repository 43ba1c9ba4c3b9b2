"""Shots as one plan: priced once, allowed once, each bought once, and joined into one file."""
