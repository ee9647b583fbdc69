import json
from itertools import combinations

import numpy as np
import pytest
from color_vision import VISIONS, difference, lab
from conftest import REPOSITORY

from voxmmsd.colors import LINE_COLORS, REGION_COLORS
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.labels import (
    SCHEMAS,
    converted_indices,
    index_of_tissue,
    indices_from_masks,
    indices_from_values,
    schema_named,
    schema_with_cavity,
    values_from_indices,
)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_values_survive_the_way_to_class_indices_and_back(schema):
    values = np.array([[0, *schema.values]], np.int16)
    indices = indices_from_values(values, schema, "here")
    assert indices.tolist() == [list(range(schema.class_count))]
    np.testing.assert_array_equal(values_from_indices(indices, schema), values)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_schema_has_unique_values_colors_and_the_three_common_regions(schema):
    assert len(set(schema.values)) == len({label.color for label in schema.labels}) == len(schema.labels)
    common = ["WT", "TC", "ET"] if len(schema.labels) > 1 else ["WT"]
    assert [region.key for region in schema.regions][: len(common)] == common
    for region in schema.regions:
        assert set(region.values) <= set(schema.values)


def test_regions_are_those_of_the_label_conventions():
    regions = {name: {r.key: r.values for r in schema.regions} for name, schema in SCHEMAS.items()}
    assert regions["msd-task01"] == {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)}
    assert regions["brats-2021"] == {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
    assert regions["brats-gli-2023"] == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    assert regions["brats-gli-2024"] == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,), "RC": (4,)}
    assert regions["brats-ped-2024"]["WT"] == (1, 2, 3, 4)
    assert regions["brats-ped-2024"]["TC"] == (1, 2, 3)


def test_class_indices_of_a_region_follow_the_order_of_labels_not_the_values():
    schema = schema_named("brats-2021")
    assert schema.region_indices(schema.regions[2]) == (3,)


def test_unknown_values_are_named_with_the_file():
    with pytest.raises(InputError, match=r"case7: label values \[3, 9\] are not in schema brats-2021"):
        indices_from_values(np.array([0, 3, 9]), schema_named("brats-2021"), "case7")


def test_labels_stored_as_floats_are_read_and_fractional_ones_refused():
    schema = schema_named("brats-gli-2023")
    assert indices_from_values(np.array([0.0, 2.0000001]), schema, "f").tolist() == [0, 2]
    with pytest.raises(InputError, match=r"f: holds 2\.4"):
        indices_from_values(np.array([0.0, 2.4]), schema, "f")
    with pytest.raises(InputError, match="f: holds nan"):
        indices_from_values(np.array([0.0, np.nan]), schema, "f")


def test_an_unknown_schema_names_the_known_ones():
    with pytest.raises(ConfigError, match="brats-gli-2024"):
        schema_named("brats-1999")


@pytest.mark.parametrize(("name", "value"), [("brats-2021", 5), ("brats-gli-2023", 4), ("msd-task01", 4)])
def test_a_cavity_is_added_to_the_labels_of_adult_glioma_which_keep_their_values(name, value):
    plain, wider = schema_named(name), schema_named(f"{name}+RC")
    assert wider == schema_with_cavity(plain)
    assert wider.labels[:-1] == plain.labels and wider.regions[:-1] == plain.regions
    assert (wider.labels[-1].key, wider.labels[-1].value) == ("RC", value)
    assert wider.region_indices(wider.regions[-1]) == (plain.class_count,)
    new = schema_named("brats-gli-2024")
    assert [index_of_tissue(label, new) for label in wider.labels][-1] == 4
    assert schema_with_cavity(wider) is None


@pytest.mark.parametrize("name", ["brats-gli-2024", "brats-ped-2024", "whole-tumor"])
def test_no_cavity_is_added_where_one_is_known_or_the_tissues_are_others(name):
    assert schema_with_cavity(schema_named(name)) is None
    with pytest.raises(ConfigError, match=f"unknown label schema '{name}\\+RC'"):
        schema_named(f"{name}+RC")


def test_a_tissue_has_its_index_in_another_schema_whatever_it_is_called_there():
    old, new, ped = schema_named("brats-gli-2023"), schema_named("brats-gli-2024"), schema_named("brats-ped-2024")
    assert [index_of_tissue(label, old) for label in new.labels] == [1, 2, 3, None]
    assert [index_of_tissue(label, new) for label in schema_named("msd-task01").labels] == [2, 1, 3]
    assert [index_of_tissue(label, old) for label in ped.labels] == [3, None, None, 2]


def test_class_indices_are_converted_tissue_by_tissue_and_nothing_is_lost_silently():
    msd, new = schema_named("msd-task01"), schema_named("brats-gli-2024")
    np.testing.assert_array_equal(converted_indices(np.array([0, 1, 2, 3]), msd, new, "x"), [0, 2, 1, 3])
    np.testing.assert_array_equal(converted_indices(np.array([0, 2, 3]), new, msd, "x"), [0, 1, 3])
    with pytest.raises(InputError, match="x: has 2 voxels of Resection cavity"):
        converted_indices(np.array([4, 4]), new, msd, "x")


def test_where_masks_overlap_the_inner_tissue_has_the_voxel_in_every_schema():
    for schema in SCHEMAS.values():
        if len(schema.labels) == 1:
            continue
        assert schema.precedence[0] == "ET"
        assert schema.precedence[-1] in ("ED", "SNFH")
        everywhere = {label.key: np.ones((2, 2, 2), bool) for label in schema.labels}
        for key in schema.precedence:
            indices = indices_from_masks(everywhere, schema)
            assert schema.labels[int(indices[0, 0, 0]) - 1].key == key
            everywhere[key] = np.zeros((2, 2, 2), bool)
        assert not indices_from_masks(everywhere, schema).any()
    with pytest.raises(ConfigError, match="has no label XX"):
        indices_from_masks({"XX": np.ones((1, 1, 1))}, schema_named("brats-2021"))


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("schema", [*SCHEMAS, "lines of a chart"])
def test_colors_that_meet_are_told_apart_also_by_the_color_blind(schema, vision):
    """The tissues of a schema and the outlines of its regions; the lines of a chart."""
    labels = [label.color for label in SCHEMAS[schema].labels] if schema in SCHEMAS else LINE_COLORS
    regions = SCHEMAS[schema].regions if schema in SCHEMAS else ()
    outlines = [REGION_COLORS[region.key] for region in regions if len(region.values) > 1]
    shown = [lab(color, vision) for color in (*labels, *outlines)]
    assert all(difference(*pair) > 20 for pair in combinations(shown, 2))


def test_the_difference_of_colors_is_ciede2000s():
    """Pairs 1, 9, 17 and 34 of Sharma, Wu & Dalal 2005, table 1."""
    for first, second, expected in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ):
        assert difference(first, second) == pytest.approx(expected, abs=1e-4)


def test_a_tissue_has_one_color_in_all_schemas_and_in_slicers_terminology():
    file = REPOSITORY / "VoxMMSDSegment" / "Resources" / "Terminology" / "VoxMMSD.term.json"
    (category,) = json.loads(file.read_text(encoding="utf-8"))["SegmentationCodes"]["Category"]
    listed = {
        (one["CodingSchemeDesignator"], one["CodeValue"]): tuple(one["recommendedDisplayRGBValue"])
        for one in category["Type"]
    }
    for schema in SCHEMAS.values():
        for label in schema.labels:
            assert listed[label.terminology.scheme, label.terminology.code] == label.color, label.name
    assert listed["SCT", "108369006"] == REGION_COLORS["WT"]
    assert listed["SCT", "86049000"] == REGION_COLORS["TC"]
