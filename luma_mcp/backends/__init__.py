"""Luma's APIs: one package for each, behind the protocols of `base`."""
