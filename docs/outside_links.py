"""For MkDocs: pages read in the repository, too, so they link to files outside ``docs/``.

Pictures under ``Resources/`` go along into the site; any other file is shown where the repository is hosted. A link
that leads to no file is a warning, which fails the build.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
HOST = json.loads((ROOT / "VoxMMSD.json").read_text(encoding="utf-8"))["scm_url"].removesuffix(".git") + "/blob/main/"
PICTURES = "Resources/"
LINK = re.compile(r"\]\(\.\./([^)#\s]+)")
log = logging.getLogger("mkdocs.hooks.outside_links")


def on_files(files, config):
    for file in sorted(ROOT.joinpath(PICTURES).rglob("*.png")):
        files.append(File.generated(config, file.relative_to(ROOT).as_posix(), abs_src_path=str(file)))
    return files


def on_page_markdown(markdown, page, config, files):
    def target(found):
        path = found.group(1)
        if not ROOT.joinpath(path).exists():
            log.warning("%s: no file %s", page.file.src_uri, path)
        return f"]({path if path.startswith(PICTURES) else HOST + path}"

    return LINK.sub(target, markdown)
