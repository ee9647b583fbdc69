"""A self-contained HTML page with text, tables and pictures, without external resources."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import voxmmsd
from voxmmsd.clock import now
from voxmmsd.files import write_text_atomic

DISCLAIMER = "Not a medical device; research use only."

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
p.about { opacity: .75; margin-top: .2rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
.text { text-align: left; }
tr:nth-child(even) td { background: var(--soft); }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas; }
tr:nth-child(even) td:first-child { background: linear-gradient(var(--soft), var(--soft)), Canvas; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; border-radius: 6px; }
@media print { img { min-width: 0 !important; } }
figcaption { opacity: .75; font-size: .9rem; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: 6px; font-size: .85rem; }
"""

_LEGIBLE = "44rem"  # width below which a picture is scrolled instead of made smaller: a telephone's page
_NUMBER = re.compile(r"[-+±]?\d|-|nan|$")  # how a cell begins that is not text


@dataclass(frozen=True)
class Section:
    """A part of the page. ``table``: a heading row and rows; ``pictures``: PNG files with captions."""

    heading: str
    paragraphs: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    pictures: Sequence[tuple[Path, str]] = field(default_factory=tuple)
    preformatted: str = ""


def write_report(file: Path, title: str, sections: Sequence[Section], *, dated: bool = True) -> Path:
    """Write the page atomically. All text is escaped. ``dated``: whether it says when it was made."""
    about = f"Made {f'{now()} ' if dated else ''}by voxmmsd {voxmmsd.__version__}. {DISCLAIMER}"
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
    """Columns of text lean to the left, those of numbers to the right; one that is empty in all rows is left out."""
    shown = [column for column in range(len(rows[0])) if not rows[1:] or any(row[column] for row in rows[1:])]
    texts = {column for column in shown if not all(_NUMBER.match(row[column]) for row in rows[1:])}

    def cells(row: Sequence[str], tag: str) -> str:
        begins = (f'<{tag} class="text">' if column in texts else f"<{tag}>" for column in shown)
        filled = (escape(row[column]) for column in shown)
        return "".join(f"{begin}{cell}</{tag}>" for begin, cell in zip(begins, filled, strict=True))

    head = cells(rows[0], "th")
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[1:])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(picture: Path, caption: str) -> str:
    png = picture.read_bytes()
    width = int.from_bytes(png[16:20], "big")  # of the header that every PNG begins with
    content = base64.b64encode(png).decode("ascii")
    image = (
        f'<img style="min-width: min({_LEGIBLE}, {width}px)" alt="{escape(caption)}" '
        f'src="data:image/png;base64,{content}">'
    )
    return f'<figure><div class="wide">{image}</div><figcaption>{escape(caption)}</figcaption></figure>'
