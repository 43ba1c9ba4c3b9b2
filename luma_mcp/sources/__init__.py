"""What a person names to work on, made into what an API can read."""
