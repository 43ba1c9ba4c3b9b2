"""Sockets that do not lead to the API of Luma: proxies, and the guard against addresses inside the network."""
