"""What the name of an image tells: its sequence or kind, and whose it is.

A name is cut into words. The first word that names a sequence (or a label, or a mask) and the describing words around
it say what the image is; what remains is the case's id, often.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["modality", "label", "brain_mask", "result", "unknown"]

_WORD = re.compile(
    r"(?:pre|post)[-_ .]?(?:op(?:erative)?|treatment|tx|rt|surgery|surgical|chemo)(?![a-z])|t2\*|w/o|[^\W_]+",
    re.IGNORECASE,
)
_PLANE = r"(?:ax|axial|cor|coronal|sag|sagittal|tra|3d|2d)"
_TECHNIQUE = (
    r"(?:w|wi|weighted|se|tse|fse|ffe|ir|mprage|mpr|spgr|fspgr|bravo|vibe|space|cube|flash|tfl|tfl3d|fl2d|fl3d)"
)
_CONTRAST = r"(?:c|ce|ca|gd|gad|gado|gadolinium|post|postcontrast|postgd|contrast|km|enh|enhanced)"
# Role of a word, first match wins; a role in capitals is a sequence.
_ROLES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern))
    for role, pattern in (
        ("result", r"pred.*|.*output.*|voxmmsd|inference"),
        ("T1C", rf"{_PLANE}?t1{_TECHNIQUE}?{_CONTRAST}|ct1"),
        ("T1N", r"t1n|t1w?pre|t1native|t1nc"),
        ("T1", rf"{_PLANE}?t1{_TECHNIQUE}?{_PLANE}?|t1_?flair|mprage|spgr|fspgr|bravo"),
        ("FLAIR", r"t2fl?|darkfluid|.*flair.*"),
        ("foreign", r"t2(?:star|s|\*|gre|ffe|map)|t1(?:map|rho)"),
        ("T2", rf"{_PLANE}?t2{_TECHNIQUE}?{_PLANE}?"),
        ("post", r"post|postcontrast|post(?:gd|gad|gado)|gd|gad|gado|gadolinium|contrast|ce|km|enhanced|withcontrast"),
        ("pre", r"pre|precontrast|noncontrast|nocontrast|unenhanced|native|without|wo|w/o|non"),
        ("brain mask", r"(?:brain|skull)_?masks?"),
        (
            "label",
            r"segs?|segm|segmentations?|labels?|labelmap|labelstr|gt|groundtruth|truth|annotations?|manuallycorrected",
        ),
        ("label", r"(?:tumou?r|lesion|glioma)(?:seg|segmentation|mask|label)s?"),
        ("tumor", r"tumou?rs?|lesions?|roi|gtv|ot"),
        ("mask", r"masks?"),
        ("brain", r"brain|bet|hdbet|skullstrip(?:ped)?|stripped"),
        ("automatic", r"auto|automatic|automated|approx|glistrboost"),
        (
            "foreign",
            r"dwi|adc|dti|asl|[rn]?cb[fv]|perf|perfusion|dsc|dce|swi|swan|star|bold|b\d{3,4}|mra|tof|mrs|phase",
        ),
        ("foreign", r"localizer|scout|survey|subtraction|map|maps|aparc|aseg|wmparc|pve|parenchyma|warp|bias"),
        (
            "noise",
            rf"{_PLANE}|{_TECHNIQUE}|acq|desc|n4|bc|reg|registered|coreg|resampled|preproc|preprocessed|processed",
        ),
        (
            "noise",
            r"head|sri|sri24|mni|iso|isotropic|\d+mm|mri?|image|images|img|scan|series|vol|volume|nifti|native|corrected",
        ),
    )
)
_SEQUENCES = ("T1", "T1N", "T1C", "T2", "FLAIR")
_ANCHORS = (*_SEQUENCES, "label", "brain mask", "mask")
_DESCRIBING = ("post", "pre", "brain", "tumor", "automatic", "foreign", "noise", "target")
_SESSION_WORDS = ("ses", "session", "visit", "tp", "timepoint", "time")


@dataclass(frozen=True)
class NameReading:
    """``head`` and ``tail`` are what stands before and behind the words that tell the kind: the case's id, often.

    ``why`` says why a name could not be placed.
    """

    kind: Kind
    modality: str | None = None
    head: str = ""
    tail: str = ""
    why: str = ""


@dataclass
class _Word:
    text: str
    start: int
    end: int
    role: str


def read_name(name: str) -> NameReading:
    """What an image of this name (without its file ending) is; a DICOM series' description does as well."""
    words = [_Word(m.group().lower(), m.start(), m.end(), _role(m.group().lower())) for m in _WORD.finditer(name)]
    if any(word.role == "result" for word in words):
        return NameReading("result", why="its name says that it is a result, not an input")
    _drop_targets(words)
    _place_contrast_letters(words)
    first = _body_start(words)
    if first is None:
        return NameReading("unknown", head=name, why="its name tells no sequence (T1, T1 contrast, T2, FLAIR)")
    body = words[first:]
    kind, modality, why = _decide([word.role for word in body])
    head = name[: words[first - 1].end].lstrip(" _-.") if first else ""
    tail = "_".join(name[word.start : word.end] for word in body if word.role == "id")
    return NameReading(kind, modality, head, tail, why)


def _role(word: str) -> str:
    return next((role for role, pattern in _ROLES if pattern.fullmatch(word)), "id")


def _drop_targets(words: list[_Word]) -> None:
    """``T2_to_T1`` and ``space-T1w_..._T2w`` are T2: the space an image was brought to is not its sequence."""
    for before, word in pairwise(words):
        others = any(w.role in _SEQUENCES and w is not word for w in words)
        if word.role in _SEQUENCES and before.text in ("to", "in", "onto", "on", "space", "reg2") and others:
            before.role = word.role = "target"


def _place_contrast_letters(words: list[_Word]) -> None:
    """``T1_C``: a lone letter counts right behind the sequence only. ``ses-post_T1`` is a session, no contrast."""
    for before, word in pairwise(words):
        if before.role == "T1" and word.text in ("c", "n"):
            word.role = "post" if word.text == "c" else "pre"
        if word.role in ("post", "pre") and before.text in _SESSION_WORDS:
            word.role = "id"
        if before.role == "pre" and word.role == "post":
            word.role = "noise"  # "without contrast", "pre contrast"


def _body_start(words: list[_Word]) -> int | None:
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
    if has("foreign"):
        return "unknown", None, "its name tells a sequence or map that is not used here"
    if has("automatic") and has("label"):
        return "result", None, "its name says that it was made automatically: not an expert's label"
    if has("brain mask") or (has("brain") and not has("tumor") and (has("mask") or has("label"))):
        return "brain_mask", None, ""
    sequences = {role for role in roles if role in _SEQUENCES}
    if has("label") or (has("tumor") and (has("mask") or not sequences)):
        return "label", None, ""
    if has("mask"):
        return "unknown", None, "a mask of what? name it brain_mask, or seg for the tumor's label"
    modality = _modality(sequences, has("post"), has("pre"))
    return ("modality", modality, "") if modality else ("unknown", None, "its name tells more than one sequence")


def _modality(sequences: set[str], post: bool, pre: bool) -> str | None:
    t1 = sequences & {"T1", "T1N", "T1C"}
    if (t1 and "T2" in sequences) or {"T1N", "T1C"} <= t1:
        return None
    if t1:  # "T1 FLAIR" is T1-weighted
        return "t1c" if "T1C" in t1 or (post and not pre and "T1N" not in t1) else "t1n"
    return "t2f" if "FLAIR" in sequences else "t2w"


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


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key: ``case2`` before ``case10``; total and independent of the locale."""
    parts = re.split(r"([0-9]+)", text)
    return (*((0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p), (2, 0, text))


def safe_id(text: str) -> str:
    """``text`` as a name of files on every system."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._ ") or "case"


def contradict(first: str, second: str) -> bool:
    """Whether each of two names carries a number that the other lacks: they are not of one case."""
    one, other = (set(re.findall(r"\d+", text)) for text in (first, second))
    return not (one <= other or other <= one)


def is_series_number(text: str) -> bool:
    """Whether ``text`` is but a number, as scanners' exports put before a sequence's name."""
    return re.fullmatch(r"(?:s|se|ser|series)?[-_]?\d{1,4}", text.lower()) is not None
