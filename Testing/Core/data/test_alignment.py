from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from voxmmsd.data.alignment import align
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.store import open_store
from voxmmsd.data.volume import Grid, Volume
from voxmmsd.errors import InputError
from voxmmsd.phantom import write_phantoms
from voxmmsd.verbs.prepare import PrepareConfig, prepare_folder

pytest.importorskip("SimpleITK")


def motion(grid, degrees, shift_mm):
    """A turn about the middle of the grid and a shift, 4x4 RAS mm, and that middle."""
    middle = grid.affine_zyx @ [*((np.array(grid.shape_zyx) - 1) / 2), 1]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = middle[:3] - matrix[:3, :3] @ middle[:3] + shift_mm
    return matrix, middle


def moved(volume, matrix):
    return Volume(volume.array, Grid(volume.grid.shape_zyx, matrix @ volume.grid.affine_xyz))


def remaining(found, matrix, middle):
    """Millimeters and degrees by which the correction does not undo the motion."""
    left = found.correction @ matrix
    return np.linalg.norm((left @ middle - middle)[:3]), np.degrees(Rotation.from_matrix(left[:3, :3]).magnitude())


@pytest.fixture
def phantom(tmp_path):
    write_phantoms(tmp_path / "in", 1, seed=0, side=64)
    return find_cases(tmp_path / "in").cases[0]


def shift_file(source, matrix):
    image = nib.load(source.path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), matrix @ image.affine), source.path)


def test_a_known_motion_of_a_phantom_is_undone_and_a_still_one_left_alone(tmp_path):
    write_phantoms(tmp_path, 1, seed=0, side=64, spacing_mm=2.0)
    phantom = find_cases(tmp_path).cases[0]
    still, other = (read_volume(phantom.modalities[name]) for name in ("t1c", "t2f"))
    assert not align("t2f", other, still).accepted
    matrix, middle = motion(still.grid, (6, -4, 8), (5, -7, 4))
    found = align("t2f", moved(other, matrix), still)
    assert found.accepted
    assert found.after > found.before
    distance, angle = remaining(found, matrix, middle)
    assert distance < 1
    assert angle < 1


def test_images_that_do_not_even_overlap_are_brought_together(phantom):
    still, other = (read_volume(phantom.modalities[name]) for name in ("t1c", "t2f"))
    matrix, middle = motion(still.grid, (0, 0, 3), (400, -250, 90))
    found = align("t2f", moved(other, matrix), still)
    assert found.before == 0
    assert remaining(found, matrix, middle)[0] < 1


def test_reading_a_case_aligned_puts_voxels_and_label_where_they_belong_and_draws_it(phantom, tmp_path):
    expected = read_case(phantom)
    matrix, _ = motion(expected.image.grid, (0, 0, 6), (6, 4, -5))
    shift_file(phantom.modalities["t2w"], matrix)
    shift_file(phantom.label, matrix)  # drawn on the T2
    picture = tmp_path / "board.png"
    found = read_case(phantom, aligned=True, picture=picture)
    assert [a.accepted for a in found.alignments] == [False, True, False]
    assert any(note.startswith("t2w was moved by up to") for note in found.notes)
    brain = expected.image.array[2] > 0
    likeness, before = (
        np.corrcoef(volumes.image.array[2][brain], expected.image.array[2][brain])[0, 1]
        for volumes in (found, read_case(phantom, with_label=False))
    )
    assert likeness > 0.85
    assert before < 0.5
    overlap = (found.label_zyx > 0) & (expected.label_zyx > 0)
    assert 2 * overlap.sum() / ((found.label_zyx > 0).sum() + (expected.label_zyx > 0).sum()) > 0.95
    assert picture.stat().st_size > 10_000


def test_preparing_aligned_is_another_array_with_its_picture(phantom, tmp_path):
    shift_file(phantom.modalities["t2w"], motion(read_volume(phantom.modalities["t1c"]).grid, (0, 0, 0), (9, 0, 0))[0])
    options = PrepareConfig(str(tmp_path / "in"), str(tmp_path / "store"), workers=1)
    prepare_folder(options)
    plain = np.array(open_store(tmp_path / "store")[0].image())
    assert prepare_folder(replace(options, align=True)).made == 1
    (entry,) = open_store(tmp_path / "store")
    assert any("t2w was moved" in note for note in entry.notes)
    assert (tmp_path / "store" / f"{entry.id}-alignment.png").is_file()
    outside = [((image[2] > 0) & (image[1] == 0)).sum() for image in (plain, entry.image())]
    assert outside[1] < outside[0] / 3


def test_what_has_no_content_cannot_be_aligned(phantom):
    still = read_volume(phantom.modalities["t1c"])
    with pytest.raises(InputError, match="t2w: cannot be aligned"):
        align("t2w", Volume(np.zeros_like(still.array), still.grid), still)


@pytest.mark.real
@pytest.mark.long
@pytest.mark.parametrize("id_", ["BraTS2021_00003", "BraTS2021_01480"])
def test_known_motions_of_real_brains_are_undone_within_a_millimeter_and_a_degree(shared_data, id_):
    case = next(case for case in find_cases(shared_data / "brats2021").cases if case.id == id_)
    still = read_volume(case.modalities["t1c"])
    rng = np.random.default_rng(int(id_[-4:]))
    for name in ("t1n", "t2w", "t2f"):
        other = read_volume(case.modalities[name])
        assert not align(name, other, still).accepted, "BraTS has them aligned"
        matrix, middle = motion(still.grid, rng.uniform(-10, 10, 3), rng.uniform(-15, 15, 3))
        distance, angle = remaining(align(name, moved(other, matrix), still), matrix, middle)
        assert distance < 1, name
        assert angle < 1, name


@pytest.mark.real
def test_the_flair_of_a_native_case_is_brought_onto_its_t1(shared_data):
    (case,) = find_cases(shared_data / "native").cases
    still, other = (read_volume(case.modalities[name]) for name in ("t1c", "t2f"))
    found = align("t2f", other, still)
    assert found.accepted
    assert found.after > found.before + 0.2


@pytest.mark.real
@pytest.mark.long
def test_a_native_case_is_aligned_and_stays_so(shared_data):
    (case,) = find_cases(shared_data / "native").cases
    volumes = {name: read_volume(source) for name, source in case.modalities.items()}
    for name in ("t1n", "t2w", "t2f"):
        found = align(name, volumes[name], volumes["t1c"])
        assert found.accepted
        assert found.after > found.before + 0.2
        if name == "t1n":  # on the grid of the t1c, and yet the head was turned in between
            assert 6 < np.degrees(Rotation.from_matrix(found.correction[:3, :3]).magnitude()) < 10
        again = align(name, moved(volumes[name], found.correction), volumes["t1c"])
        assert not again.accepted, again.text()
