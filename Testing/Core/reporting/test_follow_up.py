"""Visits of a phantom patient, whose lesions grow, shrink, split, merge, vanish and come back by known amounts."""

import csv
import json
import re

import numpy as np
import pytest
from dicom_files import write_series
from reporting.made_results import write_result
from reporting.made_visits import turned, visit, write_visit

from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError
from voxmmsd.library.folder import create_library
from voxmmsd.measuring.response import Response, change_text
from voxmmsd.reporting.follow_up import followed
from voxmmsd.reporting.follow_up_page import csv_text, write_follow_up
from voxmmsd.reporting.visits import read_visits, registered
from voxmmsd.verbs.follow import FollowConfig, run

IDS = [f"BraTS-GLI-00007-10{number}" for number in range(4)]
MOVES = [np.eye(4), turned((4, -6, 8), (5, -3, 4)), turned((-3, 2, -5), (-4, 6, 2)), turned((0, 5, 2), (1, 2, -6))]


def ball_ml(radius):
    return 4 / 3 * np.pi * radius**3 / 1000


def written(root, *visits, **how):
    """Files of results, a visit for each list of balls."""
    return [write_visit(root, IDS[number], balls, **how) for number, balls in enumerate(visits)]


def read(root, *visits, days=(), **how):
    files = written(root, *visits, **how)
    return read_visits(files, images=folders(root, files), days=days)


def folders(root, files):
    return [str(root / "cases" / file.name.removesuffix("-voxmmsd.nii.gz")) for file in files]


def events(found, key="ET"):
    return [[str(event) for event in track.events] for track in found.tracks[key]]


A, B, C = (15, 5, 8), (-18, -10, 5), (-5, 24, -8)


def test_growth_and_shrinking_have_their_known_amounts(tmp_path):
    found = followed(read(tmp_path, [(A, 8, 3), (B, 6, 3)], [(A, 11, 3), (B, 4, 3)], spacing_zyx=(1.0, 1.0, 1.0)))
    grown, shrunk = found.tracks["ET"]
    assert events(found) == [["first visit", "persistent"], ["first visit", "persistent"]]
    for track, radii in ((grown, (8, 11)), (shrunk, (6, 4))):
        for number, radius in enumerate(radii):
            assert track.volume_ml(number) == pytest.approx(ball_ml(radius), rel=0.05)
            assert track.product_mm2(number) == pytest.approx((2 * radius + 0.7) ** 2, rel=0.15)


def test_a_split_a_merger_a_new_a_resolved_lesion_and_one_that_reappears_are_named(tmp_path):
    found = followed(
        read(
            tmp_path,
            [(A, 10, 3), (B, 6, 3)],
            [((15, 10, 8), 4.4, 3), ((15, -1, 8), 4.4, 3), (C, 7, 3)],
            [(A, 11, 3), (C, 7, 3), (B, 6, 3)],
        )
    )
    assert events(found) == [
        ["first visit", "split", "merged"],
        ["first visit", "resolved", "reappeared"],
        ["", "new", "persistent"],
    ]
    assert [one.response for one in found.by_diameters] == [Response.PROGRESSION, Response.PROGRESSION]
    assert found.by_diameters[0].why == "a new measurable lesion"


def test_two_lesions_that_grow_into_one_are_merged(tmp_path):
    apart = [((15, 12, 8), 5, 3), ((15, -4, 8), 5, 3)]
    found = followed(read(tmp_path, apart, [(A, 14, 3)]))
    assert events(found) == [["first visit", "merged"]]
    assert found.tracks["ET"][0].product_mm2(0) == pytest.approx(2 * 10.7**2, rel=0.2)


@pytest.mark.parametrize(
    ("radii", "by_diameters", "by_volume"),
    [((12, 12.2), "SD", "SD"), ((12, 8), "PR", "PR"), ((12, 14), "PD", "PD"), ((12, 0), "CR", "CR")],
)
def test_the_categories_follow_the_radius(radii, by_diameters, by_volume, tmp_path):
    """Products go with the square, volumes with the cube: 8 / 12 is -56 % and -70 %, 14 / 12 is +36 % and +59 %."""
    visits = [[(A, radius, 3)] if radius else [(A, 12, 2)] for radius in radii]
    found = followed(read(tmp_path, *visits, spacing_zyx=(1.0, 1.0, 1.0)))
    assert [str(one.response) for one in (*found.by_diameters, *found.by_volume)] == [by_diameters, by_volume]


def test_a_new_lesion_that_merges_later_is_new_and_progression(tmp_path):
    near = (15, -9, 8)
    apart, together = [(A, 6, 3), (near, 6, 3)], [(A, 9, 3), (near, 9, 3)]
    visits = read(tmp_path, [(A, 6, 3)], apart, together, spacing_zyx=(1.0, 1.0, 1.0))
    found = followed(visits)
    assert events(found) == [["first visit", "persistent and new", "merged"]]
    for measure in (found.by_diameters, found.by_volume):
        assert (measure[0].response, measure[0].why) == ("PD", "a new measurable lesion")
    alone = followed(visits[:2])
    assert [one.response for one in (alone.by_diameters[0], alone.by_volume[0])] == ["PD", "PD"]


def test_pieces_too_small_for_lesions_are_told_on_the_page(tmp_path):
    visits = read(tmp_path, [(A, 12, 3), (B, 6, 3)], [(A, 12, 3), (B, 2, 3)], spacing_zyx=(1.0, 1.0, 1.0))
    found = followed(visits)
    assert events(found)[1] == ["first visit", "resolved"]
    page = write_follow_up(found, tmp_path / "out")[0].read_text(encoding="utf-8")
    assert "also 1 piece below 0.1 ml (0.03 ml in all) of enhancing tumor" in page


def test_a_response_is_not_complete_while_small_pieces_enhance(tmp_path):
    found = followed(read(tmp_path, [(A, 12, 3)], [(A, 12, 2), (A, 2, 3), (B, 2, 3)], spacing_zyx=(1.0, 1.0, 1.0)))
    assert 0 < found.volumes_ml[1]["ET"] < 0.1 and events(found) == [["first visit", "resolved"]]
    for one in (*found.by_diameters, *found.by_volume):
        assert (one.response, one.why) == ("PR", "small pieces are left, so the response is not complete")


def test_visits_on_other_grids_and_in_other_places_are_brought_onto_each_other(tmp_path):
    """To 1.5 mm at the head's border, with voxels of 2 mm; volumes are those of each visit's own voxels."""
    balls = [(A, 10, 3), (B, 6, 3)]
    grids = [((2.0, 2.0, 2.0), "LPS"), ((1.5, 2.0, 2.0), "RAS"), ((2.0, 1.5, 1.5), "LAS")]
    files = [
        write_visit(tmp_path, IDS[n], balls, moved=MOVES[n], spacing_zyx=spacing, orientation=axes)
        for n, (spacing, axes) in enumerate(grids)
    ]
    visits = list(registered(read_visits(files, images=folders(tmp_path, files))))
    border = np.array([[*(sign * reach), 1] for reach in np.diag((38, 44, 36)) for sign in (-1, 1)])
    for one, move in zip(visits, MOVES, strict=False):
        off = (one.correction @ move - np.eye(4)) @ border.T
        assert np.linalg.norm(off[:3], axis=0).max() < 1.5
    found = followed(visits)
    assert events(found) == [["first visit", "persistent", "persistent"]] * 2
    for number in range(3):
        assert found.volumes_ml[number]["ET"] == pytest.approx(ball_ml(10) + ball_ml(6), rel=0.06)


def test_a_visit_without_tumor_is_said_where_others_have_one(tmp_path):
    visits = read(tmp_path, [(A, 8, 3)], [])
    page, *_ = write_follow_up(followed(visits), tmp_path / "out")
    assert "No tumor at visit 2." in page.read_text(encoding="utf-8")


def test_what_is_written_has_days_and_no_date(tmp_path):
    visits = read(tmp_path, [(A, 8, 3)], [(A, 9, 3)], days=(0, 93))
    page, table, _chart, record = write_follow_up(followed(visits), tmp_path / "out")
    texts = [file.read_text(encoding="utf-8") for file in (page, table, record)]
    assert all("93" in text for text in texts)
    shown = re.sub(r"base64,[^\"]+", "", "".join(texts))
    assert not re.search(r"\b(19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d", shown)
    assert [one["days"] for one in json.loads(texts[2])["visits"]] == [0, 93]
    assert not re.search(r'(src|href)="(?!data:)', texts[0])
    assert "steroids" in texts[0]
    assert "10.1200/JCO.23.01059" in texts[0]


def test_table_and_record_say_the_same(tmp_path):
    found = followed(read(tmp_path, [(A, 8, 3), (B, 6, 3)], [(A, 11, 3)]))
    rows = list(csv.DictReader(csv_text(found).splitlines()))
    lesion = {(row["structure"], row["lesion"], row["visit"]): row for row in rows}
    assert lesion["ET", "2", "2"]["event"] == "resolved"
    record = found.record()
    parts = record["lesions"]["ET"][0]["visits"][1]["parts"]
    assert float(lesion["ET", "1", "2"]["volume_ml"]) == pytest.approx(sum(part["volume_ml"] for part in parts))
    assert record["visits"][1]["rano_by_volume"]["response"] == str(found.by_volume[0].response)


def test_cases_of_a_library_are_visits_by_their_newest_labels(tmp_path):
    library = create_library(tmp_path / "library")
    schema = "brats-gli-2023"
    for number, radius in enumerate((8, 11)):
        images, label, grid = visit([(A, radius, 3)])
        library.add_case(IDS[number], {name: Volume(array, grid) for name, array in images.items()}, patient="P-7")
        library.add_prediction(IDS[number], Volume(np.zeros_like(label), grid), schema, "toy-1")
        library.accept(IDS[number], Volume(label, grid), schema)
    visits = read_visits([tmp_path / "library" / "cases" / one for one in IDS[:2]])
    assert [one.patient for one in visits] == ["P-7", "P-7"]
    grown = followed(visits).tracks["ET"][0]
    assert grown.volume_ml(1) / grown.volume_ml(0) == pytest.approx((11 / 8) ** 3, rel=0.1)


def dicom_result(root, case_id, day, patient="PAT-7"):
    """A result whose T1c is a DICOM series of that day."""
    voxels = np.random.default_rng(int(day)).integers(1, 500, (6, 12, 10)).astype(np.int16)
    folder = root / "cases" / case_id / "t1c"
    write_series(folder, voxels, f"1.2.3.{day}", "T1 post", **{"0008_0020": day, "0010_0020": patient})
    grid = read_volume(Source(folder)).grid
    label = np.zeros(grid.shape_zyx, np.uint8)
    label[2:4, 3:7, 3:7] = 3
    return write_result(root, case_id, {"t1c": folder}, label, grid)


def test_days_come_from_dicom_and_the_patients_number_is_written_nowhere(tmp_path):
    pytest.importorskip("SimpleITK")
    files = [dicom_result(tmp_path, "early", "20200102"), dicom_result(tmp_path, "late", "20200404")]
    visits = read_visits(files, images=folders(tmp_path, files))
    assert [one.days for one in visits] == [0, 93]
    assert [one.patient for one in visits] == ["", ""]
    with pytest.raises(InputError, match=r"not in the order of time.*give them in order: early late"):
        read_visits(files[::-1], images=folders(tmp_path, files)[::-1])
    assert "PAT-7" not in json.dumps(followed(visits).record())
    files.append(dicom_result(tmp_path, "other", "20210102", patient="PAT-8"))
    with pytest.raises(InputError, match="from different patients"):
        read_visits(files, images=folders(tmp_path, files))


def test_a_patients_number_that_anonymizers_write_for_all_does_not_make_visits_those_of_one(tmp_path):
    files = [dicom_result(tmp_path, name, day, "ANONYMOUS") for name, day in (("Doe", "20240110"), ("Roe", "20240412"))]
    with pytest.raises(InputError, match="cannot be told from their names whether"):
        read_visits(files, images=folders(tmp_path, files))


def test_names_that_do_not_tell_the_patient_ask_for_a_word(tmp_path):
    files = [write_visit(tmp_path, one, [(A, 8, 3)]) for one in ("anna1", "anna2")]
    with pytest.raises(InputError, match="--patient"):
        read_visits(files, images=folders(tmp_path, files))
    visits = read_visits(files, images=folders(tmp_path, files), patient="P-7")
    assert visits[0].patient == "P-7"


def test_the_verb_writes_page_record_and_table_and_overwrites_none(tmp_path, capsys):
    files = written(tmp_path, [(A, 8, 3)], [(A, 11, 3)])
    config = FollowConfig(
        visits=tuple(map(str, files)), case=tuple(folders(tmp_path, files)), out=str(tmp_path / "out"), days=(0, 30)
    )
    run(config)
    said = capsys.readouterr()
    assert [line.rpartition("/")[2] for line in said.out.splitlines()] == [
        "follow-up.html",
        "follow-up.csv",
        "follow-up.png",
        "follow-up.json",
    ]
    assert "stays where it is" in said.err
    with pytest.raises(InputError, match="exists already"):
        run(config)


def test_a_schema_without_enhancing_tumor_is_followed_by_its_whole_tumor(tmp_path):
    files = written(tmp_path, [(A, 8, 1)], [(A, 9, 1)], schema="whole-tumor")
    found = followed(read_visits(files, images=folders(tmp_path, files)))
    assert list(found.tracks) == ["WT"]
    assert found.by_diameters == ()
    write_follow_up(found, tmp_path / "out")


@pytest.mark.parametrize("schemas", [("brats-2021", "brats-2021+RC"), ("msd-task01+RC", "brats-gli-2023")])
def test_a_visit_with_a_cavity_is_compared_with_one_of_a_schema_without(schemas, tmp_path):
    files = []
    for number, schema in enumerate(schemas):
        ed, et = (1 if schema.startswith("msd") else 2), 3
        balls = [(A, 12, ed), (A, 8, et), *([((15, -20, 8), 8, 4)] if schema.endswith("RC") else [])]
        files.append(write_visit(tmp_path, f"BraTS-GLI-00001-10{number}", balls, schema=schema))
    found = followed(read_visits(files, images=folders(tmp_path, files)))
    assert found.record()["schema"] == next(schema for schema in schemas if schema.endswith("RC"))
    before, after = found.volumes_ml
    assert before["ET"] == after["ET"] > 0 and before["ED"] == after["ED"] > 0
    assert [volumes["RC"] > 1 for volumes in (before, after)] == [schema.endswith("RC") for schema in schemas]
    assert events(found) == [["first visit", "persistent"]]


def test_registered_images_and_labels_lie_on_each_other_voxel_for_voxel_as_they_were(tmp_path):
    balls = [(A, 10, 3), (B, 6, 3)]
    files = [write_visit(tmp_path, IDS[n], balls, moved=MOVES[n], spacing_zyx=(2.0, 2.0, 2.0)) for n in range(2)]
    run(
        FollowConfig(
            visits=tuple(map(str, files)),
            case=tuple(folders(tmp_path, files)),
            out=str(tmp_path / "out"),
            registered=True,
        )
    )
    first, later = (read_volume(Source(tmp_path / "out" / f"visit-{n}-labels.nii.gz")) for n in (1, 2))
    where = [np.argwhere(one.array == 3).mean(axis=0)[::-1] for one in (first, later)]
    places = [(one.grid.affine_xyz @ [*at, 1])[:3] for one, at in zip((first, later), where, strict=True)]
    assert np.linalg.norm(places[0] - places[1]) < 1.5
    assert set(np.unique(later.array)) == {0, 3}
    assert (first.array > 0).sum() == (later.array > 0).sum()
    image = read_volume(Source(tmp_path / "out" / "visit-2-t1c.nii.gz"))
    own = read_volume(Source(tmp_path / "cases" / IDS[1] / f"{IDS[1]}-t1c.nii.gz"))
    assert sorted(image.array.ravel()) == sorted(own.array.ravel())
    assert np.allclose(image.grid.affine_xyz, later.grid.affine_xyz, atol=1e-4)


@pytest.mark.parametrize(
    ("share", "text"), [(0.25, "+25 %"), (-0.5, "-50 %"), (0.0, "0 %"), (-0.004, "0 %"), (0.004, "0 %")]
)
def test_a_change_that_rounds_to_nothing_has_no_sign(share, text):
    assert change_text(share) == text
