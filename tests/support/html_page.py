"""A page of HTML, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = ("meta", "img", "br", "input", "link")


@dataclass
class Element:
    """A tag with its attributes, its elements and its text."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside."""
        return "".join(self.texts)

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()

    def all(self, tag: str = "", class_: str = "") -> list[Element]:
        """Elements inside, at any depth."""
        found = []
        for child in self.children:
            if (not tag or child.tag == tag) and (not class_ or class_ in child.classes):
                found.append(child)
            found += child.all(tag, class_)
        return found

    def one(self, tag: str = "", class_: str = "", **attributes: str) -> Element:
        """The only such element."""
        (found,) = (
            each
            for each in self.all(tag, class_)
            if all(each.attributes.get(name) == value for name, value in attributes.items())
        )
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        for element in self.open:
            element.texts.append(data)


def parsed(text: str) -> Element:
    """The root; its tags must be balanced, ids unique, and nothing from elsewhere."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    (root,) = builder.open
    ids = [each.attributes["id"] for each in root.all() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    assert not re.search(r"""(src|href)=["']?(https?:|//)|@import|url\(""", text)
    assert not root.all("link")
    return root
