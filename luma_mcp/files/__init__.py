"""Files: fetched from where an API puts them, and saved whole or not at all."""
