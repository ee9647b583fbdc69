"""A model package: a folder with ``model.json``, ``weights.safetensors``, ``model.onnx`` and ``MODEL_CARD.md``.

Reading a package needs no torch, and nothing in it can run code. ``model.json`` lists every file with its SHA-256.
"""

from __future__ import annotations

import dataclasses
import math
import mmap
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voxmmsd.config import config_from_record
from voxmmsd.errors import ConfigError, ModelError
from voxmmsd.files import folder_written_aside, read_json, sha256_of, write_json_atomic, write_text_atomic
from voxmmsd.ids import safe_id
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.model_config import NetworkConfig, PreprocessConfig
from voxmmsd.models.onnx_graph import refuse_strange_graph
from voxmmsd.models.provenance import Provenance

FORMAT = 1
WEIGHTS, ONNX, CARD, RECORD = "weights.safetensors", "model.onnx", "MODEL_CARD.md", "model.json"
FILES = (WEIGHTS, ONNX, CARD)
HEADLINE_SPLITS = ("test", "hold-out", "validation")
MAX_NAME = 200
MAX_WINDOW = 1024  # voxels along a side
_NEXT_CARD = "MODEL_CARD.next.md"
_SURELY_SEEN_SECONDS = 2.0  # a file that was changed later than that may change again within one tick of its clock


@dataclass(frozen=True)
class ModelInfo:
    """The content of ``model.json``.

    ``window``: size in voxels of the windows to segment with. ``training``: history, without fixed form (see
    ``provenance``). ``scores``: by split, ``{"validation": {"cases": 3, "regions": {"WT": 0.9}}}``, and ``subsets``
    (see ``models.subsets``). ``files``: name -> SHA-256. A pre-trained network, which cannot segment yet, has schema
    ``""`` and no ONNX file.
    """

    id: str
    name: str
    version: str
    parent: str | None
    created: str
    network: NetworkConfig
    schema: str
    modalities: tuple[str, ...]
    preprocess: PreprocessConfig
    window: int
    training: dict[str, Any]
    scores: dict[str, Any]
    licence: str
    limits: str
    files: dict[str, str]

    @property
    def provenance(self) -> Provenance:
        """``training``, as a type."""
        return Provenance.of(self.training)

    @property
    def segments(self) -> bool:
        """Whether the model can segment; False if it was only pre-trained."""
        return bool(self.schema)

    @property
    def temperature(self) -> float:
        """What the logits are divided by before they are given out as probabilities; 1 if it was never fitted."""
        return self.provenance.temperature

    @property
    def headline_scores(self) -> tuple[str, dict[str, Any]]:
        """The split that best predicts performance on new patients, and its scores; empty if there are none."""
        return next(((name, self.scores[name]) for name in HEADLINE_SPLITS if name in self.scores), ("", {}))


@dataclass(frozen=True)
class ModelPackage:
    """A verified package on disk."""

    folder: Path
    info: ModelInfo

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def onnx(self) -> Path:
        return self.folder / ONNX

    def file(self, name: str) -> Path:
        """Where the content of one of ``info.files`` is: of a card whose rewrite was cut short, beside its place."""
        waiting = self.folder / _NEXT_CARD
        return waiting if name == CARD and _digest(waiting) == self.info.files[CARD] else self.folder / name

    @property
    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir())


def read_package(folder: Path) -> ModelPackage:
    """Read and verify a package; nothing is written, so it may be in a read-only folder.

    A package verified before by this process is read again only if a file has changed.

    Raises:
        ModelError: no package, another format, missing files, or files that do not match their checksums.
    """
    while True:
        info = _read_info(folder / RECORD)
        try:
            _check_files(folder, info)
            return ModelPackage(folder, info)
        except ModelError:
            if _read_info(folder / RECORD) == info:
                raise
            # Its record was rewritten meanwhile, and the card with it.


_verified: dict[Path, tuple[_FileState, ...]] = {}  # folder -> its files as they were then


def clear_verification_cache() -> None:
    """Forget earlier verifications, so that every package is read completely again."""
    _verified.clear()


def _check_files(folder: Path, info: ModelInfo) -> None:
    for name in FILES:
        if name not in info.files and (name != ONNX or info.segments):
            raise ModelError(
                f"{folder / RECORD}: lists no {name}", "the package is incomplete, export or train it again"
            )
    try:
        for name in info.files:
            if Path(name).name != name or not (folder / name).is_file() or (folder / name).is_symlink():
                raise ModelError(f"{folder / name}: is missing from the model package", "import it again")
        state = _state_of(folder, info)
        if _verified.get(folder.absolute()) == state:
            return
        for name, expected in info.files.items():
            if name == CARD and _digest(folder / _NEXT_CARD) == expected:
                continue  # looked at before the card itself, since it may be put in its place at any time
            if sha256_of(folder / name) != expected:
                raise ModelError(
                    f"{folder / name}: does not match its checksum",
                    "the package was changed or damaged, import it again",
                )
        if info.segments:
            _refuse_links_to_other_files(folder / ONNX)
            refuse_strange_graph(folder / ONNX)
    except OSError as error:
        raise ModelError(f"{error.filename or folder}: cannot be read ({error.strerror})", "import it again") from error
    is_settled = time.time() - max(file.changed_ns for file in state) / 1e9 > _SURELY_SEEN_SECONDS
    if is_settled and not (folder / _NEXT_CARD).exists():
        _verified[folder.absolute()] = state


@dataclass(frozen=True)
class _FileState:
    """Another one whenever a file is another one, or is listed otherwise."""

    name: str
    expected: str
    number: int
    size_bytes: int
    changed_ns: int


def _state_of(folder: Path, info: ModelInfo) -> tuple[_FileState, ...]:
    """Raises OSError where a file is missing."""
    found = [(name, expected, (folder / name).lstat()) for name, expected in info.files.items()]
    return tuple(_FileState(name, sha256, one.st_ino, one.st_size, one.st_mtime_ns) for name, sha256, one in found)


def _finish_card_update(folder: Path, info: ModelInfo) -> None:
    """The end of a rewrite, also of an earlier one that was cut short after the record."""
    waiting = folder / _NEXT_CARD
    with suppress(FileNotFoundError):  # another writer was first
        if _digest(waiting) == info.files.get(CARD):
            waiting.replace(folder / CARD)


def _digest(file: Path) -> str:
    """Empty where there is no such file."""
    try:
        return sha256_of(file)
    except FileNotFoundError:
        return ""


def _refuse_links_to_other_files(onnx: Path) -> None:
    """An ONNX file may keep tensors in other files, anywhere; the key that names them is ``location``.

    Our exports keep all in one file and have no such word; eight bytes that happen to be it are not to be expected.
    """
    with onnx.open("rb") as stream:
        if onnx.stat().st_size and mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ).find(b"location") >= 0:
            raise ModelError(f"{onnx}: refers to data outside itself", "export the model with all its data in one file")


def write_package(folder: Path, info: ModelInfo, writers: Mapping[str, Callable[[Path], object]]) -> ModelPackage:
    """Write a package to a temporary folder and rename it to ``folder``; ``writers`` by file name.

    Raises:
        ModelError: ``folder`` exists already.
    """
    refuse_existing(folder)
    with folder_written_aside(folder) as aside:
        for name, write in writers.items():
            write(aside / name)
        files = {name: sha256_of(aside / name) for name in writers}
        info = dataclasses.replace(info, files=files)
        write_json_atomic(aside / RECORD, {"format": FORMAT, **asdict(info)})
    return ModelPackage(folder, info)


def refuse_existing(folder: Path) -> None:
    """Raise ModelError if the folder for a new package exists."""
    if folder.exists():
        raise ModelError(f"{folder}: exists already", "a model package is never overwritten, name another folder")


def rewrite_record(
    package: ModelPackage, change: Callable[[ModelInfo], ModelInfo], card: Callable[[ModelInfo], str]
) -> ModelPackage:
    """Change the record of a package, and its card with it; weights, network and id are kept.

    What is changed is the record as it is now: others may have changed it since ``package`` was read, hours ago where
    a model was scored meanwhile. The new card is kept beside the old one until the record that lists it is in place: if
    this is interrupted, the package is intact, in its old or its new form.

    Raises:
        ModelError: the folder cannot be written, or has the weights of another model now.
    """
    waiting, present = package.folder / _NEXT_CARD, read_info(package.folder)
    if present.files.get(WEIGHTS) != package.info.files.get(WEIGHTS):
        raise ModelError(f"{package.folder}: has other weights than when it was read", "call again for these")
    info = change(present)
    try:
        _finish_card_update(package.folder, present)
        write_text_atomic(waiting, card(info))
        info = dataclasses.replace(info, files={**present.files, CARD: sha256_of(waiting)})
        write_json_atomic(package.folder / RECORD, {"format": FORMAT, **asdict(info)})
        _finish_card_update(package.folder, info)
    except OSError as error:
        raise ModelError(
            f"{package.folder}: cannot be written ({error.strerror})", "import the model first: voxmmsd models import"
        ) from error
    return ModelPackage(package.folder, info)


def refuse_long_name(name: str) -> None:
    """Raise ConfigError where the id of a new model, its name and the time, would be longer than an id may be."""
    most = MAX_NAME - len("-20260101T120000")
    if len(name) > most:
        raise ConfigError(
            f"a model cannot be called {name}: its name has {len(name)} characters, and {most} are allowed",
            "give a shorter one with --name",
        )


def refuse_pretrained(package: ModelPackage) -> None:
    """Raise ModelError for a network that was only pre-trained."""
    if not package.info.segments:
        raise ModelError(
            f"{package.info.id}: was pre-trained on unlabeled scans and cannot segment yet",
            f"fine-tune it on labeled cases with `voxmmsd finetune FOLDER --run DIR --from {package.folder}`",
        )


def read_info(folder: Path) -> ModelInfo:
    """The record of a package; its other files are not verified.

    Raises:
        ModelError: there is no record, or it is damaged or of another format.
    """
    return _read_info(folder / RECORD)


def _read_info(file: Path) -> ModelInfo:
    try:
        record = read_json(file)
        version = record.pop("format")
    except FileNotFoundError:
        raise ModelError(
            f"{file.parent}: is not a model package (it has no {RECORD})", "`voxmmsd models list` names the known ones"
        ) from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{file}: is not a model's record ({error!r})", "import or export the model again") from error
    if version != FORMAT:
        raise ModelError(f"{file}: is of format {version}, this version reads {FORMAT}", "update voxmmsd")
    try:
        return _checked(record)
    except ConfigError as error:
        raise ModelError(f"{file}: {error.problem}", error.remedy) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{file}: is not a model's record ({error!r})", "import or export the model again") from error


def _checked(record: dict[str, Any]) -> ModelInfo:
    nested = {
        "network": config_from_record(NetworkConfig, record.pop("network")),
        "preprocess": config_from_record(PreprocessConfig, record.pop("preprocess")),
    }
    free = {name: dict(record.pop(name)) for name in ("training", "scores", "files")}
    missing = {item.name for item in dataclasses.fields(ModelInfo)} - set(record) - set(nested) - set(free)
    if missing:
        raise ConfigError(f"lacks {', '.join(sorted(missing))}", "import or export the model again")
    info = config_from_record(ModelInfo, {**record, **nested, **free})
    for text in (info.id, info.name):
        if safe_id(text) != text or len(text) > MAX_NAME:
            raise ConfigError(
                f"is called {text!r}, and ids and names are of letters, digits, - and _",
                "rename the model and export it again",
            )
    if info.segments:
        schema_named(info.schema)
    if not 1 <= info.window <= MAX_WINDOW:
        raise ConfigError(
            f"asks for windows of {info.window} voxels", f"export it again with windows of 1 to {MAX_WINDOW}"
        )
    if not 0 < info.temperature < math.inf:
        raise ConfigError(f"divides logits by {info.temperature:g}", "fit it again with `voxmmsd models calibrate`")
    if info.modalities != MODALITIES:
        raise ConfigError(
            f"is for the modalities {info.modalities}, this version serves {MODALITIES}", "choose another model"
        )
    return info
