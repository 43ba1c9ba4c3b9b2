"""Dream Machine, Luma AI's video and image generation, as tools for agents."""

__version__ = "0.1.0"
