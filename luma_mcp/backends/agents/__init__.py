"""The Luma Agents API: ray-3.2 and uni-1."""
