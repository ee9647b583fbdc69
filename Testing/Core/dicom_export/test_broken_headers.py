import pytest

from voxmmsd.data.formats.dicom_frames import frames_of
from voxmmsd.dicom_export.series import _header
from voxmmsd.errors import InputError


def test_what_pydicom_does_not_take_for_dicom_is_refused_in_one_sentence(tmp_path):
    pytest.importorskip("pydicom")
    file = tmp_path / "a.dcm"
    file.write_bytes(b"no preamble, and no DICM behind it" * 20)
    with pytest.raises(InputError, match="its DICOM header cannot be read"):
        _header(file)
    with pytest.raises(InputError, match="no position in the patient"):
        frames_of(file)
