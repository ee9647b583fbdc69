"""The words of image names: which role each plays, in the languages that scanners are set to.

English, German, French, Spanish, Portuguese, Italian, Dutch and Swedish words of contrast agents; abbreviations of
Siemens, GE, Philips and United Imaging; suffixes of BIDS. Made from ``Testing/Core/data/names.csv``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SEQUENCES = ("T1", "T1N", "T1C", "T2", "FLAIR")

_WORD = re.compile(
    r"(?:pre|post)[-_ .]?(?:op(?:erative)?|treatment|tx|rt|surgery|surgical|chemo)(?![a-z])"
    r"|dark[-_ ]?(?:extra[-_ ])?fluid|mp[-_ .]?rage|gold[-_ ]?standard|fat[-_ ]?sat|w/out|w/o|w/c(?![^\W_])|t1(?=w/o)"
    r"|(?:un|non)[-_ ]enhanced"
    r"|(?<![^\W_])s/c(?![^\W_])|(?<![^\W_])[su]/(?= ?\w)"
    r"|t[12]\*|\+ ?[ck](?![^\W_])|(?<![^\W_])[ck]\+"
    r"|(?<=[ _(])-(?:[ck]|gd|gado?|km)(?![^\W_])|(?<![^\W_])[ck]-(?![^\W_])|\(-\)|[^\W_]+",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

_PLANE = r"(?:o?ax|axial|o?cor|coronal|o?sag|sagittal|tra|3d|2d)"
_TECHNIQUE = (
    r"(?:wi|weighted|w|se|tse|fse|frfse|ffe|tfe|gre|ir|tirm?|mprage|mpr|spgr|fspgr|bravo|vibe|space|cube|flash|fs|iso"
    r"|tfl3d|tfl|fl2d|fl3d|n4)"
)
_CONTRAST = r"(?:ce|ca|c|gadolinium|gado|gad|gd|postcontrast|postgd|post|contrast|km|ks|enhanced|enh|inj)"
_NEGATED = rf"(?:pre|non?|wo){_CONTRAST}"
_TARGET = r"(?:t1\w{0,3}|t2\w{0,3}|flair|mni\w*|sri\w*|atlas|eve)"
_TISSUE_OF_SPM = r"(?:r|m|w|mw|rc|wc|mwc)[pc][0-6](?:sub|t1|t2)?|[pc][0-6](?:sub|t1|t2)|i?y|u_rc1"

# The role of a word, first match wins; a role in capitals is a sequence. "FLAIR?", "T1?" and "PD?" are what the word
# stands for where no other word names a sequence.
_ROLES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (role, re.compile(pattern))
    for role, pattern in (
        ("result", r"pred.*|.*output.*|voxmmsd|inference"),
        ("target", rf"(?:reg|affine|rigid|syn|flirt|ants|dramms|warped)(?:to|2){_TARGET}"),
        ("link", r"(?:reg|affine|rigid|syn|flirt|ants|dramms)(?:to|2)|ref|space|to|in|onto|2|on|reg"),
        ("T1C", rf"(?:{_PLANE}|s|hr)*(?:ce|c)t1(?:{_TECHNIQUE}|{_PLANE})*"),
        ("T1N", rf"{_PLANE}*t1w?(?:n|nc|pre|native|nativ|{_NEGATED})"),
        ("T1C", rf"(?:{_PLANE}|s)*t1(?:{_TECHNIQUE}|{_PLANE})*{_CONTRAST}+(?:{_PLANE})*"),
        ("FLAIR", r"t2fl?|t2df|dark[-_ ]?(?:extra[-_ ])?fluid|t2flair.*"),
        ("T1", rf"(?:{_PLANE}|s|hr|[rmw]{{1,2}})*t1(?:{_TECHNIQUE}|{_PLANE})*|t1_?flair|mp[-_ .]?rage|f?spgr|bravo"),
        ("FLAIR", r".*flair.*"),
        ("foreign", r"t2(?:star\w?|s|\*|gre|ffe|map)|t1(?:map|rho|\*)|r[12]star\w*"),
        ("T2", rf"(?:{_PLANE}|s|hr|r)*t2(?:{_TECHNIQUE}|{_PLANE})*"),
        ("FLAIR?", r"fla?"),
        ("T1?", r"mpr|mpr\d|gado|gad"),
        ("PD?", r"pdw?|dpw?|proton|protonica|protondensity"),
        ("gradient echo", r"ffe|gre|fgre|eg|star|h[aä]e?mo|fl2d|merge|gradient\w*"),
        ("inversion", r"tirm?"),
        (
            "post",
            r"post|pos|p[oó]s|postcontrast|poscontraste|postgd|gd|gado\w*|gad|contrast|contraste|kontrast(?:u|em|mittel\w*)?|ce|km|ks|cte"
            r"|civ|c?mdc|w/c|inj|inject\w*|injet\w*|enhanced|withcontrast|\+ ?[ck]|[ck]\+|apr[eè]s|nach|dopo",
        ),
        (
            "pre",
            rf"pre|precontrast\w*|pr[eé]|{_NEGATED}|(?:un|non)[-_ ]?enhanced|nativ[eo]?|s/c|vor|avant|prima|blanco"
            r"|before|antes|f[oö]re|voor|basal|-(?:[ck]|gd|gado?|km)|[ck]-",
        ),
        (
            "without",
            r"without|wo|w/o|w/out|non|not?|ohne|sans|sem|sine?|senza|ut[ae]n|uden|zonder|bez|[su]/|\(-\)",
        ),
        ("brain mask", r"(?:brain|skull)_?masks?|hdbet_?mask"),
        (
            "label",
            r"segs?|segm|segmentations?|labels?|labelmap|labelstr|gt|groundtruth|truth|annotations?|manuallycorrected"
            r"|consensus|gold[-_ ]?standard|wmh|roi|gtv|msk",
        ),
        ("label", r"(?:tumou?r|lesion|glioma)s?(?:seg|segmentation|mask|label)s?"),
        ("tumor", r"tumou?rs?|lesions?|ot|manual|expert"),
        ("mask", r"masks?"),
        ("brain", r"brain|bet|hdbet|skullstrip(?:ped)?|stripped"),
        ("automatic", r"auto|automatic|automated|approx|glistrboost"),
        (
            "foreign",
            r"dwi\w?|isodwi\w?|ddwi|adc|dti|asl|p?casl|[rn]?cb[fv]|perf|perfusion|dsc|dce|pwi|swip?|swan|bold|b\d{3,4}"
            r"|mra|tof|mrs|csi|phase|pha|fmri|ep2d|diff|diffusion|difusi[oó]n|difus[aã]o|trace\w?|stir|pca|ven",
        ),
        (
            "foreign",
            r"localizer|scout|survey|subtraction|t1sub|map|maps|mapping|aparc|aseg|wmparc|pve|parenchyma|warp|biasfield"
            r"|voided|synth\w*|gm|wm|csf|probseg|fseg|xfm|template|mip|mnip",
        ),
        ("template", r"tpl|mni\w*|sri|sri24|icbm\w*|jhu|colin\w*|atlas|fsaverage"),
        (
            "noise",
            rf"{_PLANE}|{_TECHNIQUE}|acq|desc|n4|bc|registered|coreg|resampled|bias|preproc|preprocessed|processed|trans",
        ),
        (
            "noise",
            r"head|iso|isotropic|\d+mm|mri?|image|images|img|scan|series|vol|volume|nifti|corrected"
            r"|con|com|mit|med|avec|with|na|met|fat[-_ ]?sat|fs|fatsat|spair|spir",
        ),
    )
)


@dataclass
class Word:
    """A word of a name, where it stands in it, and its role."""

    text: str
    start: int
    end: int
    role: str


def words_of(name: str) -> list[Word]:
    """The words of a name in order; ``ceT1`` and ``brainTumorMask`` are cut where a capital follows."""
    words: list[Word] = []
    for match in _WORD.finditer(name):
        whole = _word(match.group(), match.start())
        humps = _HUMP.split(match.group())
        if whole.role == "id" and len(humps) > 1:
            words += _parts(humps, match.start())
        else:
            words.append(whole)
    return words


def is_tissue_class(word: str) -> bool:
    """Whether a name that begins with ``word`` is a tissue map or a deformation of SPM: ``c1T1``, ``mwp1sub-01``.

    ``p1_T1`` is none: SPM puts its letters right before the name, and many a patient is called p1.
    """
    return re.fullmatch(_TISSUE_OF_SPM, word.lower()) is not None


def _parts(humps: list[str], start: int) -> list[Word]:
    parts = []
    for hump in humps:
        parts.append(_word(hump, start))
        start += len(hump)
    return parts


def _word(text: str, start: int) -> Word:
    lower = text.lower()
    role = next((role for role, pattern in _ROLES if pattern.fullmatch(lower)), "")
    if not role:  # "t2tot1"
        moved = re.fullmatch(rf"(.+?)(?:to|2|in){_TARGET}", lower)
        role = _word(moved.group(1), start).role if moved else ""
        role = role if role in SEQUENCES else "id"
    return Word(lower, start, start + len(text), role)
