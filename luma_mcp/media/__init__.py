"""Images and clips: measured, decoded, made small, joined."""
