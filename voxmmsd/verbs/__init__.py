"""The verbs of the command line, one file each: its configuration and the function that runs it.

These files import nothing heavy at their top: each verb imports what it needs when it runs. To add a verb, write a file
with a ``VERB`` and name it in ``VERBS``.
"""

from __future__ import annotations

from voxmmsd.errors import ConfigError
from voxmmsd.verbs import (
    bundle,
    cases,
    check,
    compare,
    doctor,
    estimate,
    evaluate,
    export,
    export_dicom,
    finetune,
    follow,
    job,
    library,
    models,
    phantom,
    prepare,
    pretrain,
    refine,
    report,
    runs,
    segment,
    verify,
)
from voxmmsd.verbs.verb import Verb, VerbGroup

VERBS: tuple[Verb | VerbGroup, ...] = (
    cases.VERB,
    phantom.VERB,
    prepare.VERB,
    pretrain.VERB,
    finetune.VERB,
    check.VERB,
    segment.VERB,
    refine.VERB,
    report.VERB,
    follow.VERB,
    export_dicom.VERB,
    evaluate.VERB,
    estimate.VERB,
    job.VERB,
    compare.VERB,
    runs.VERB,
    models.VERB,
    library.VERB,
    verify.VERB,
    export.VERB,
    bundle.VERB,
    bundle.INSTALL,
    doctor.VERB,
)


def find_verb(name: str) -> Verb:
    """A verb without actions. Raises ConfigError if there is none of that name."""
    for verb in VERBS:
        if verb.name == name and isinstance(verb, Verb):
            return verb
    raise ConfigError(f"{name!r} is no verb of this version", "`voxmmsd --help` lists them")
