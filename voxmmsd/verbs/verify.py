"""``voxmmsd verify``: compare files with their checksums."""

from __future__ import annotations

from dataclasses import dataclass

from voxmmsd.config import Affects, option
from voxmmsd.verbs.verb import Verb


@dataclass(frozen=True)
class VerifyConfig:
    what: str = option(
        "",
        "run, model or training library to verify (default: all models)",
        affects=Affects.INPUT,
        positional=True,
    )


def run(config: VerifyConfig) -> int:
    from voxmmsd.verify import verify

    text, is_intact = verify(config.what)
    print(text)
    return 0 if is_intact else 2


VERB = Verb(
    "verify", "verify the files of a run, a model or a training library against their checksums", VerifyConfig, run
)
