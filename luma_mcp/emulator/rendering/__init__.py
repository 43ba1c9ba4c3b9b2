"""Pictures and clips that are really rendered: Pillow draws, PyAV encodes and decodes. Each is marked EMULATED."""
