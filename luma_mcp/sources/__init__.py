"""The sources of requests: links, local files and generations, resolved for an API."""
