"""Libraries of tiny phantoms for tests."""

import numpy as np

from voxmmsd.data.volume import Volume
from voxmmsd.labels import MODALITIES, indices_from_values
from voxmmsd.library import create_library
from voxmmsd.phantom import make_phantom

SCHEMA = "brats-gli-2023"


def phantom(seed, side=24):
    return make_phantom(seed, (side, side, side))


def images_of(phantom):
    return {name: Volume(array, phantom.grid) for name, array in zip(MODALITIES, phantom.image_czyx, strict=True)}


def label_of(phantom):
    """Class indices."""
    return Volume(indices_from_values(phantom.label_zyx, phantom.schema, "phantom"), phantom.grid)


def moved(label, voxels=1):
    """A label as a bad model would draw it: shifted."""
    return Volume(np.roll(label.array, voxels, axis=2), label.grid)


def library_of(folder, count=3, **changes):
    """``case-000`` and on, without labels; the library and its phantoms by id."""
    library = create_library(folder, **{"seed": 0, **changes})
    made = {f"case-{number:03d}": phantom(number) for number in range(count)}
    for case_id, one in made.items():
        library.add_case(case_id, images_of(one))
    return library, made
