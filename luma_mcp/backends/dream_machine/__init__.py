"""The Dream Machine API (ray-2, ray-flash-2, photon-1, photon-flash-1)."""
