"""Luma's two APIs, at no cost.

An imitation of Luma's Dream Machine API and of the Luma Agents API for trying, testing and developing: the same
endpoints, shapes, states and error texts, with clips and pictures that are really rendered. It imports nothing of the
rest of this package, so that a mistake in our reading of the APIs cannot agree with itself.

What it does not imitate: what Luma's models would paint (scenes are drawn from the words of the prompt), moderation by
content (write ``[fail: REASON]`` in a prompt to see a generation fail), Luma's real queue and speed, and the prices
that Luma does not publish (upscaling, adding audio, layering; the ones charged here are invented).
"""
