"""A Dream Machine that costs nothing.

An imitation of Luma's Dream Machine API for trying, testing and developing: the same endpoints, shapes, states and
error texts, with clips and pictures that are really rendered. It imports nothing of the rest of this package, so that
a mistake in our reading of the API cannot agree with itself.

What it does not imitate: what Dream Machine's models would paint (scenes are drawn from the words of the prompt),
moderation by content (write ``[fail: REASON]`` in a prompt to see a generation fail), Luma's real queue and speed, the
prices of upscaling and adding audio (none are published; the ones charged here are invented), and anything of the
Luma Agents API.
"""
