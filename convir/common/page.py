"""A page of HTML that needs no network and no other file: what all of ours have in common."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from convir.common.markup import printable

#: The browser itself refuses to load anything from elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def document(*, title: str, body: str, style: str, script: str, head: str = "") -> str:
    """The page. Its colours follow the reader's choice of dark and light: see ``page.css`` for their names.

    Args:
        title: text, escaped here.
        body: markup.
        style: CSS, after what is common to all pages.
        script: JavaScript; runs when the body is there.
        head: further elements of the head.
    """
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            *([head] if head else []),
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(printable(title))}</title>",
            f"<style>\n{resource('convir.common', 'page.css')}{style}</style>\n</head>\n<body>",
            body,
            f"<script>\n{script}</script>\n</body>\n</html>\n",
        ]
    )


def resource(package: str, name: str) -> str:
    """The text of a file that comes with a package."""
    return (files(package) / name).read_text(encoding="utf-8")
