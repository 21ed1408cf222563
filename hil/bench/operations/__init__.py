"""Whole operations that run in device processes: each takes a `Context` first, and only builtin types cross."""
