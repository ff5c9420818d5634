"""The process around the application: sockets, limits of HTTP, drain."""
