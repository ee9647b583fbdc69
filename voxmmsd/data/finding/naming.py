"""What the name of an image tells: its sequence or kind, and whose it is.

A name is read as a sentence. The leading sequence (or label, or mask) and the describing words around it say what the
image is. What follows ``to``, ``in``, ``reg2``, ``space-`` is a target: the space that the image was brought to, not
its sequence. What remains is the case's id, often. A name of BIDS is read by its entities and its suffix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from voxmmsd.data.finding.name_words import SEQUENCES, Word, is_tissue_class, words_of

Kind = Literal["modality", "label", "brain_mask", "result", "unknown"]

_KINDS = ("label", "brain mask", "mask")
_ANCHORS = (*SEQUENCES, *_KINDS)
_DESCRIBING = ("post", "pre", "brain", "tumor", "automatic", "foreign", "noise", "target", "gradient echo", "inversion")
_SESSION_WORDS = ("ses", "session", "visit", "tp", "timepoint", "time")
_AND = ("and", "und", "et", "e", "y", "och", "en")
_WITH = ("w", "with", "mit", "avec", "con", "com", "med", "met")
_AGENTS = ("gado", "gad")  # they name a sequence where no other word does
_AGENT_IN_GERMAN = ("km", "kontrast", "kontrastmittel")
_FOREIGN = "its name tells a sequence or map that is not used here"


@dataclass(frozen=True)
class NameReading:
    """``head`` and ``tail`` are what stands before and behind the words that tell the kind: the case's id, often.

    ``why`` says why a name could not be placed. ``derived``: the image was brought to another image's or an atlas'
    space, or is a derivative of BIDS (``desc-``). ``is_plain_t1``: T1, and no word says with or without contrast agent.
    """

    kind: Kind
    modality: str | None = None
    head: str = ""
    tail: str = ""
    why: str = ""
    derived: bool = False
    is_plain_t1: bool = False


def read_name(name: str) -> NameReading:
    """What an image of this name (without its file ending) is; a DICOM series' description does as well."""
    words = words_of(name)
    if any(word.role == "result" for word in words):
        return NameReading("result", why="its name says that it is a result, not an input")
    if words and (is_tissue_class(words[0].text) or words[0].role == "template"):
        return NameReading("unknown", why="its name tells a template or a tissue map")
    if (bids := _BIDS.fullmatch(name)) and bids["suffix"] in _BIDS_SUFFIXES:
        return _read_bids(bids)
    derived = _drop_targets(name, words)
    _place_contrast_letters(words)
    _place_negations(words)
    _settle_weak_words(words)
    return replace(_read_words(name, words), derived=derived)


def _read_words(name: str, words: list[Word]) -> NameReading:
    first = _body_start(words)
    if first is None:
        return NameReading(
            "unknown", head=name, why="its name does not identify a sequence (T1, T1 post-contrast, T2, FLAIR)"
        )
    body = words[first:]
    roles = [word.role for word in body]
    kind, modality, why = _decide(roles)
    head = name[: words[first - 1].end].lstrip(" _-.") if first else ""
    tail = "_".join(name[word.start : word.end] for word in body if word.role == "id")
    is_plain_t1 = modality == "t1n" and not {"pre", "T1N"} & set(roles)
    return NameReading(kind, modality, head, tail, why, is_plain_t1=is_plain_t1)


def _drop_targets(name: str, words: list[Word]) -> bool:
    """Mark the spaces that the image was brought to; whether there is one.

    ``T2_to_T1``, ``T2_regtoFLAIR`` and ``space-T1w_..._T2w`` are T2. ``reg_T1`` alone may be a registered T1: ``reg``
    and ``on`` make a target of what follows only where a sequence stands before them. ``t2_space_flair`` is no link:
    SPACE is a sequence of Siemens.
    """
    for earlier, word in pairwise(words):
        if word.text == "space" and earlier.role in SEQUENCES and name[word.end : word.end + 1] != "-":
            word.role = "noise"
    for index, (before, word) in enumerate(pairwise(words)):
        others = words[:index] if before.text in ("reg", "on") else [*words[:index], *words[index + 2 :]]
        named = any(w.role in _ANCHORS or w.role.endswith("?") for w in others)
        if before.role == "link" and word.role in (*SEQUENCES, "template") and named:
            before.role = word.role = "target"
    for word in words:
        if word.role == "link":
            word.role = "noise" if word.text == "reg" else "id"
    return any(word.role == "target" for word in words)


def _place_contrast_letters(words: list[Word]) -> None:
    """``T1_C``: a lone letter counts right behind the sequence only. ``ses-post_T1`` is a session, no contrast."""
    for before, word in pairwise(words):
        if before.role == "T1" and word.text in ("c", "n"):
            word.role = "post" if word.text == "c" else "pre"
        if before.text in ("n", "o", "u") and word.text in _AGENT_IN_GERMAN:  # "nach", "ohne", "uden"
            before.role = "noise" if before.text == "n" else "without"
        if word.role in ("post", "pre") and before.text in _SESSION_WORDS:
            word.role = "id"
        if before.role == "pre" and word.role in ("post", "T1?") and word.text not in ("post", "pos"):
            word.role = "noise"  # "without contrast", "pre contrast"
        if before.role in (*SEQUENCES, "post") and word.text == "sub":
            word.role = "foreign"  # a subtraction


def _place_negations(words: list[Word]) -> None:
    """``ohne KM`` has no contrast agent; ``post gd ohne FS`` lacks fat saturation, and has one.

    ``with and without contrast`` tells nothing, ``native_T1_post`` is in its native space.
    """
    for index, word in enumerate(words):
        after = words[index + 1] if index + 1 < len(words) else None
        if word.role == "without" and after is not None and _tells_agent(after):
            word.role, after.role = ("noise", "noise") if _is_both(words[:index]) else ("pre", "noise")
    given = any(_tells_agent(word) for word in words)
    for word in words:
        if word.role == "without":
            word.role = "noise" if given and word is not words[-1] else "pre"
        elif word.text == "native" and given:
            word.role = "noise"


def _tells_agent(word: Word) -> bool:
    return word.role == "post" or (word.role == "T1?" and word.text in _AGENTS)


def _is_both(before: list[Word]) -> bool:
    """Whether ``without`` follows ``with``, or ``with and``."""
    said = [word.text for word in before[-2:]]
    if said and said[-1] in _AND:
        said.pop()
    return bool(said) and said[-1] in _WITH


def _settle_weak_words(words: list[Word]) -> None:
    """``FL``, ``MPR``, ``GADO`` and ``PD`` name a sequence where no other word does; PD beside T2 is a dual echo."""
    named = any(word.role in (*SEQUENCES, "label") for word in words)
    for before, word in pairwise(words):
        if "PD?" in (before.role, word.role) and "T2" in (before.role, word.role):
            before.role = word.role = "foreign"
    for word in words:
        if word.role.endswith("?"):
            sequence = "T1C" if word.text in _AGENTS else word.role.rstrip("?")
            beside = "post" if sequence == "T1C" else "id" if sequence == "PD" else "noise"
            word.role = beside if named else "foreign" if sequence == "PD" else sequence
            named = True


def _body_start(words: list[Word]) -> int | None:
    """Index of the first word that tells what the image is; words before it belong to the id."""
    roles = [word.role for word in words]
    anchors = [i for i, role in enumerate(roles) if role in _ANCHORS]
    if not anchors:  # "pat1_tumor", "OT.54517"
        spoken = [i for i, word in enumerate(words) if not word.text.isdecimal()]
        anchors = [i for i in spoken[-1:] if roles[i] == "tumor"]
    if not anchors:
        return None
    first = anchors[0]
    while first > 0 and roles[first - 1] in _DESCRIBING:
        first -= 1
    return first


def _decide(roles: list[str]) -> tuple[Kind, str | None, str]:
    has = set(roles).__contains__
    sequences = [role for role in roles if role in SEQUENCES]
    if has("foreign") or (has("T2") and not has("FLAIR") and (has("gradient echo") or has("inversion"))):
        return "unknown", None, _FOREIGN
    if has("automatic") and has("label"):
        return "result", None, "its name says that it was made automatically: not an expert's label"
    if has("brain mask") or (has("brain") and not has("tumor") and (has("mask") or has("label"))):
        return "brain_mask", None, ""
    if has("label") or (has("tumor") and (has("mask") or not sequences)):
        return "label", None, ""
    if has("mask"):
        return "unknown", None, "a mask of what? name it brain_mask, or seg for the tumor's label"
    modality = _modality(sequences, has("post"), has("pre"))
    return ("modality", modality, "") if modality else ("unknown", None, "its name tells more than one sequence")


def _modality(sequences: list[str], post: bool, pre: bool) -> str | None:
    """Of sequences in the order of the name; the leading one counts, and "T1 FLAIR" is T1-weighted."""
    t1 = {name for name in sequences if name.startswith("T1")}
    if (t1 and "T2" in sequences and "FLAIR" not in sequences) or {"T1N", "T1C"} <= t1:
        return None
    if t1 and (sequences[0] in t1 or "T2" not in sequences):
        return "t1c" if "T1C" in t1 or (post and not pre and "T1N" not in t1) else "t1n"
    return "t2f" if "FLAIR" in sequences else "t2w"


_BIDS = re.compile(r"(?P<case>sub-[A-Za-z0-9]+(?:_ses-[A-Za-z0-9]+)?)(?P<rest>(?:_[a-zA-Z]+-[^_]+)*)_(?P<suffix>\w+)")
_NO_AGENT = ("none", "n", "0", "false", "plain")
_BIDS_SEQUENCES = {"T1w": "t1n", "T2w": "t2w", "FLAIR": "t2f"}
_BIDS_SUFFIXES = (
    *(*_BIDS_SEQUENCES, "mask", "dseg", "probseg", "roi"),
    *("inplaneT1", "inplaneT2", "PDw", "PDT2", "T2starw", "FLASH", "UNIT1", "MP2RAGE", "MPM", "MTS", "MTR", "MTsat"),
    *("MESE", "MEGRE", "VFA", "IRT1", "T1map", "T2map", "T2starmap", "R1map", "R2map", "R2starmap", "PDmap", "MTVmap"),
    *("M0map", "S0map", "TB1map", "angio", "defacemask", "bold", "cbv", "sbref", "dwi", "asl", "m0scan", "epi", "xfm"),
    *("phasediff", "magnitude", "pet", "swi", "SWI"),
)


def _read_bids(bids: re.Match[str]) -> NameReading:
    """A name ``sub-01_ses-1_ce-gd_T1w``: the suffix tells the kind, ``ce-`` (or ``acq-``) the contrast agent.

    ``ce-none`` is without. ``desc-`` and ``label-`` tell whose mask it is.
    """
    entities = dict(part.split("-", 1) for part in bids["rest"].split("_") if part)
    suffix, head = bids["suffix"], bids["case"]
    if suffix in _BIDS_SEQUENCES:
        modality, is_plain = _BIDS_SEQUENCES[suffix], False
        if modality == "t1n":
            agent = entities.get("ce", "")
            roles = {word.role for word in words_of(agent or entities.get("acq", ""))}
            denied = agent.lower() in _NO_AGENT or bool({"pre", "without"} & roles)
            modality = "t1c" if (agent or "post" in roles) and not denied else "t1n"
            is_plain = modality == "t1n" and not denied
        derived = "space" in entities or "desc" in entities
        return NameReading("modality", modality, head, derived=derived, is_plain_t1=is_plain)
    of = " ".join(word.text for name in ("desc", "label") for word in words_of(entities.get(name, "")))
    if suffix == "roi" or re.search("tumor|lesion|wmh|glioma", of):
        return NameReading("label", head=head)
    if suffix == "mask" and "brain" in of:
        return NameReading("brain_mask", head=head)
    return NameReading("unknown", head=head, why=_FOREIGN)


_PATIENT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(BraTS(?:-[A-Z]+)+-\d+)-\d+",  # 2023 and later: the last number is the time point
        r"(Brats1[789]_[^_]+_[^_]+)_\d+",
        r"(sub-[A-Z0-9]+)_.+",  # BIDS
        r"(UPENN-GBM-\d+)_\d+",
        r"(UCSF-PDGM-\d+)_FU.*",
        r"(.+?)[-_ .](?:tp|timepoint|time|ses|session|visit|scan|week|month|day|fu|followup)[-_]?\d+",
        r"(.+?)[-_ .](?:baseline|followup|(?:pre|post)-?op)[-_]?\d*",
        r"(.+?)[-_ .](?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d",
    )
)


def patient_of(case_id: str) -> str:
    """The patient of a case: its id without time point, session, visit or date."""
    return next((match.group(1) for pattern in _PATIENT if (match := pattern.fullmatch(case_id))), case_id)


_SESSION_FOLDER = re.compile(
    r"(?:ses|session|visit|week|month|day|tp|timepoint|time|scan|study|exam|fu|followup|follow-up|baseline|pre-?op|post-?op)"
    r"[-_ ]?\d*(?:[-_]\d+)?|(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d",
    re.IGNORECASE,
)
_CONTAINER_FOLDER = re.compile(
    r"images?(?:tr|ts)?|anat|nifti|nii|mri?|data|dicom|dcm|raw|orig|original|(?:pre)?processed|(?:co)?registered|structural|"
    r"images_structural|scans?|files",
    re.IGNORECASE,
)


def is_session_folder(name: str) -> bool:
    """Whether a folder's name tells a visit of the patient whose folder is the one above."""
    return _SESSION_FOLDER.fullmatch(name) is not None


def is_container_folder(name: str) -> bool:
    """Whether a folder's name says nothing of whose images it holds."""
    return _CONTAINER_FOLDER.fullmatch(name) is not None


def contradict(first: str, second: str) -> bool:
    """Whether each of two names carries a number that the other lacks: they are not of one case."""
    one, other = (set(re.findall(r"\d+", text)) for text in (first, second))
    return not (one <= other or other <= one)


def is_series_number(text: str) -> bool:
    """Whether ``text`` is but a number, as scanners' exports put before a sequence's name."""
    return re.fullmatch(r"(?:s|se|ser|series)?[-_]?\d{1,4}", text.lower()) is not None
