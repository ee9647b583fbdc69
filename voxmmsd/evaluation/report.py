"""One self-contained HTML page: text, tables and pictures; nothing outside the file is needed or asked for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import voxmmsd
from voxmmsd.files import write_text_atomic
from voxmmsd.runs import now

DISCLAIMER = "Not a medical device; research use only."

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
p.about { opacity: .75; margin-top: .2rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { text-align: right; } th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tr:nth-child(even) td { background: var(--soft); }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; border-radius: 6px; }
figcaption { opacity: .75; font-size: .9rem; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: 6px; font-size: .85rem; }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page. ``table``: a heading row and rows; ``pictures``: PNG files with captions."""

    heading: str
    paragraphs: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    pictures: Sequence[tuple[Path, str]] = field(default_factory=tuple)
    preformatted: str = ""


def write_report(file: Path, title: str, sections: Sequence[Section]) -> Path:
    """Write the page, whole or not at all. All text is escaped."""
    about = f"Made {now()} by voxmmsd {voxmmsd.__version__}. {DISCLAIMER}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f'<h1>{escape(title)}</h1><p class="about">{escape(about)}</p>',
        *(_section(section) for section in sections),
        "</body></html>",
    ]
    write_text_atomic(file, "\n".join(parts))
    return file


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.heading)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in section.paragraphs]
    parts += [f"<pre>{escape(section.preformatted)}</pre>"] if section.preformatted else []
    parts += [_table(section.table)] if section.table else []
    parts += [_figure(picture, caption) for picture, caption in section.pictures]
    return "\n".join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(picture: Path, caption: str) -> str:
    content = base64.b64encode(picture.read_bytes()).decode("ascii")
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{content}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
