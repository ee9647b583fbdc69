from types import SimpleNamespace

import numpy as np
import pytest

from voxmmsd.data.tumor_bank import read_tumor_bank, refuse_held_out
from voxmmsd.errors import InputError
from voxmmsd.labels import SCHEMAS

SCHEMA = SCHEMAS["brats-gli-2023"]


def stored(**changes):
    """Two cubes of 8 x 6 x 4 voxels (x, y, z); the second holds nothing but edema at its first voxel."""
    image, label = np.full((2, 4, 8, 6, 4), 75, np.uint8), np.zeros((2, 8, 6, 4), np.uint8)
    label[0, 2:6, 2:4, 1:3], label[0, 3, 2, 1], label[1, 0, 0, 0] = 4, 1, 2
    return {"image": image, "label": label, "patient": np.array(["one", "two"]), **changes}


def written(folder, **changes):
    np.savez(folder / "bank.npz", **stored(**changes))
    return folder / "bank.npz"


def test_a_bank_is_read_with_z_first_and_its_tissues_as_class_indices(tmp_path):
    bank = read_tumor_bank(written(tmp_path), SCHEMA)
    assert bank.image_nczyx.shape == (2, 4, 4, 6, 8)
    assert bank.label_nzyx[0, 1, 2, 3] == 1 and bank.label_nzyx[0, 2, 3, 5] == 3  # enhancing: 4 of 2021, class 3
    assert bank.patients == ("one", "two")
    assert bank.voxel_mm_zyx == (1.211, 1.875, 1.875)


def test_a_bank_may_state_its_schema_and_its_voxels(tmp_path):
    label = np.where(stored()["label"] == 4, 3, stored()["label"]).astype(np.int16)
    file = written(tmp_path, label=label, schema="brats-gli-2023", voxel_mm=np.array([1.0, 2.0, 3.0]))
    bank = read_tumor_bank(file, SCHEMAS["brats-2021"])
    assert bank.voxel_mm_zyx == (3.0, 2.0, 1.0)
    assert bank.label_nzyx[0, 2, 3, 5] == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label": np.full((2, 8, 6, 4), 3, np.uint8)}, r"labels \[3\] are not in schema brats-2021; name the bank's"),
        ({"schema": "brats-1999"}, "unknown label schema 'brats-1999'; choose one"),
        ({"patient": np.array(["one"])}, "and 1 patients, where .* damaged or no tumor bank; copy it again"),
        ({"image": np.zeros((2, 4, 8, 6, 4), np.float32)}, "float32, labels .* damaged"),
        ({"label": np.zeros((2, 8, 6, 5), np.uint8)}, r"labels \(2, 8, 6, 5\) uint8 .* are expected"),
        ({"voxel_mm": np.array([1.0, 0.0, 1.0])}, r"voxels of \[1.0, 0.0, 1.0\] mm"),
        ({"patient": np.array([{}, {}], dtype=object)}, "cannot be read .*damaged"),
    ],
)
def test_what_is_no_bank_is_refused_in_one_sentence(tmp_path, changes, problem):
    with pytest.raises(Exception, match=problem) as caught:
        read_tumor_bank(written(tmp_path, **changes), SCHEMA)
    assert "\n" not in str(caught.value)


def test_a_bank_of_tissues_that_the_model_does_not_know_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"labels Necrotic core \(NCR, schema brats-2021\), which .* whole-tumor does"):
        read_tumor_bank(written(tmp_path), SCHEMAS["whole-tumor"])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_bank_cut_short_is_refused(tmp_path, share):
    file = written(tmp_path)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match="damaged or no tumor bank; copy it again"):
        read_tumor_bank(file, SCHEMA)


def test_a_damaged_array_is_refused(tmp_path):
    file = tmp_path / "bank.npz"
    np.savez_compressed(file, **stored(image=np.random.default_rng(0).integers(1, 99, (2, 4, 8, 6, 4)).astype("u1")))
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged or no tumor bank"):
        read_tumor_bank(file, SCHEMA)


def test_a_file_that_is_not_there_or_has_other_keys_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file; check the path of --tumor-bank"):
        read_tumor_bank(tmp_path / "none.npz", SCHEMA)
    np.savez(tmp_path / "other.npz", image=np.zeros(3))
    with pytest.raises(InputError, match="lacks label, patient"):
        read_tumor_bank(tmp_path / "other.npz", SCHEMA)


def test_a_tumor_of_a_patient_who_is_held_out_is_refused(tmp_path):
    bank = read_tumor_bank(written(tmp_path), SCHEMA)
    refuse_held_out(bank, [SimpleNamespace(id="three-0", patient_id="three")])
    with pytest.raises(InputError, match=r"held out for validation or test \(TWO\); remove them from the bank"):
        refuse_held_out(bank, [SimpleNamespace(id="two-0", patient_id="TWO")])


def test_the_bank_of_real_tumors_is_read(shared_data):
    bank = read_tumor_bank(shared_data / "tumor_bank.npz", SCHEMAS["brats-2021"])
    assert bank.image_nczyx.shape == (425, 4, 32, 32, 32)
    assert set(np.unique(bank.label_nzyx)) == {0, 1, 2, 3}
