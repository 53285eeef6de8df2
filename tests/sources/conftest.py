"""A server that files are fetched from."""

from file_server import server

__all__ = ["server"]
