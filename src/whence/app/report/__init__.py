"""The report of a run: one HTML file that opens offline, takes its numbers from a payload and fetches nothing.

`render(payload)` returns the page as a string; `write_report(payload, path)` writes it whole or not at all. What a payload
holds is written down in `render`; every part may be absent, and the page then leaves that part out or says so.
"""

from __future__ import annotations

from whence.app.report.render import render, write_report

__all__ = ["render", "write_report"]
