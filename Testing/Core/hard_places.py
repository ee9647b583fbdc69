"""A folder with one tiny good patient and a toy model, to be spoiled, and what a tree of files looked like before."""

import gzip
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import nibabel as nib
import numpy as np
from toy_models import toy_package

from voxmmsd.phantom import make_phantom, write_phantom

CASE = "BraTS-GLI-00007-000"
OTHER = "BraTS-GLI-00008-000"


def pristine(folder: Path) -> Path:
    """A folder that ``Place.copied`` copies: two patients and a model."""
    for number, case_id in enumerate((CASE, OTHER)):
        write_phantom(make_phantom(number, (24, 24, 24)), folder / case_id, case_id)
    toy_package(folder / "toy")
    return folder


@dataclass(frozen=True)
class Place:
    """``root/cases/CASE/CASE-t1c.nii.gz`` ..., of one patient; ``other`` brings a second one."""

    root: Path
    source: Path

    @classmethod
    def copied(cls, source: Path, root: Path) -> "Place":
        shutil.copytree(source / CASE, root / "cases")
        return cls(root, source)

    def other(self) -> Path:
        shutil.copytree(self.source / OTHER, self.root / "cases", dirs_exist_ok=True)
        return self.root / "cases" / OTHER

    @property
    def cases(self) -> Path:
        return self.root / "cases"

    @property
    def model(self) -> Path:
        return self.source / "toy"

    def model_copy(self) -> Path:
        return Path(shutil.copytree(self.model, self.root / "toy"))

    def file(self, name: str = "t1c", ending: str = ".nii.gz") -> Path:
        return self.cases / CASE / f"{CASE}-{name}{ending}"

    def load(self, name: str = "t1c") -> nib.Nifti1Image:
        return nib.load(self.file(name))

    def save(self, array=None, name: str = "t1c", affine=None, dtype=None, ending: str = ".nii.gz", **header) -> Path:
        """Replace an image: ``array`` is ``(x, y, z)`` or made from the old one; ``header``: nibabel's fields."""
        old = self.load(name)
        voxels = np.asarray(old.dataobj)
        array = array(voxels) if callable(array) else voxels if array is None else array
        image = nib.Nifti1Image(array, old.affine if affine is None else affine, dtype=dtype or array.dtype)
        for field, value in header.items():
            image.header[field] = value
        self.file(name).unlink()
        nib.save(image, self.file(name, ending))
        return self.file(name, ending)

    def raw(self, content, name: str = "t1c") -> Path:
        """Replace a file: ``content`` are its new bytes or makes them from the old ones."""
        file = self.file(name)
        file.write_bytes(content(file.read_bytes()) if callable(content) else content)
        return file

    def header_bytes(self, at: int, content: bytes, name: str = "t1c") -> Path:
        """Overwrite bytes of the header inside the gzip."""

        def edited(packed):
            whole = bytearray(gzip.decompress(packed))
            whole[at : at + len(content)] = content
            return gzip.compress(bytes(whole), 1)

        return self.raw(edited, name)

    def write(self, name: str, content: str | bytes) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file


def snapshot(root: Path) -> dict[str, str]:
    """Path -> content of all that lies under ``root``; runs' own folders (``.run``) are left out."""
    found = {}
    for path in sorted(root.rglob("*")):
        if ".run" not in path.relative_to(root).parts:
            kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "other"
            content = sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else kind
            found[str(path.relative_to(root))] = content
    return found
