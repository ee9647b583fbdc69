import numpy as np
import pytest
from PIL import Image

from voxmmsd.data.volume import Grid, Volume
from voxmmsd.evaluation.pictures import curves_picture, mask_picture, overlay_picture, tumor_slices, validation_picture
from voxmmsd.labels import schema_named

SCHEMA = schema_named("brats-gli-2023")


def draw(tmp_path, label, present=(True,) * 4, **more):
    image = np.full((4, *label.shape), 90, np.uint8)
    grid = Grid(label.shape, np.eye(4))
    file = overlay_picture(image, present, label, SCHEMA, grid, tmp_path / "p.png", **more)
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def tumor(shape=(30, 32, 34)):
    label = np.zeros(shape, np.uint8)
    label[10:14, 20:30, 24:32] = 3
    return label


def share_of_orange(pixels):
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return (red > green + 40) & (green > blue)


def test_slices_go_through_the_middle_of_the_tumor_or_of_the_brain():
    assert tumor_slices(tumor(), (30, 32, 34)) == (10, 20, 24)
    assert tumor_slices(np.zeros((30, 32, 34)), (30, 32, 34)) == (15, 16, 17)


def test_the_patients_right_is_on_the_left_and_anterior_on_top(tmp_path):
    pixels = share_of_orange(draw(tmp_path, tumor()))
    rows, columns = np.nonzero(pixels[: len(pixels) // 3])  # the axial row; the tumor lies right and anterior
    panel = pixels.shape[1] / 5
    assert rows.size > 100
    assert columns.min() > 4 * panel - 5
    assert columns.mean() - 4 * panel < panel / 2
    assert rows.mean() < pixels.shape[0] / 6 + 20


def test_an_absent_modality_has_no_column(tmp_path):
    wide = draw(tmp_path, tumor())
    narrow = draw(tmp_path, tumor(), present=(False, True, False, True))
    assert narrow.shape[1] / wide.shape[1] == pytest.approx(3 / 5, abs=0.01)


def test_a_case_without_tumor_and_one_with_the_experts_outline_can_be_drawn(tmp_path):
    empty = draw(tmp_path, np.zeros((30, 32, 34), np.uint8))
    assert share_of_orange(empty).sum() < 1500  # the legend's patch alone
    outlined = draw(tmp_path, np.zeros((30, 32, 34), np.uint8), reference_label_zyx=tumor())
    assert (outlined.min(axis=-1) > 200).sum() > (empty.min(axis=-1) > 200).sum()


def test_a_brain_mask_is_an_outline_over_the_head_at_its_place(tmp_path):
    head = Volume(np.full((40, 42, 44), 90, np.int16), Grid((40, 42, 44), np.eye(4)))
    mask = np.zeros(head.array.shape, bool)
    mask[10:30, 10:30, 30:42] = True  # the patient's right
    pixels = np.asarray(Image.open(mask_picture(head, mask, tmp_path / "m.png")).convert("RGB")).astype(int)
    outline = (pixels[..., 2] > pixels[..., 0] + 80) & (pixels[..., 1] > pixels[..., 0] + 40)
    columns = np.nonzero(outline[: len(outline) // 3])[1]  # four axial slices
    panel = pixels.shape[1] / 4
    assert len({int(column // panel) for column in columns}) == 4, "one in each slice"
    assert (columns % panel).mean() < 0.45 * panel, "the patient's right is on the left"
    assert outline.mean() < 0.02, "an outline, not a filled mask"


def test_a_mask_of_nothing_or_of_everything_can_be_drawn(tmp_path):
    head = Volume(np.zeros((20, 20, 20), np.int16), Grid((20, 20, 20), np.eye(4)))
    for fill in (False, True):
        assert mask_picture(head, np.full(head.array.shape, fill), tmp_path / f"{fill}.png").is_file()


def test_curves_are_drawn_as_they_go(tmp_path):
    def drawn(**curves):
        return np.asarray(Image.open(curves_picture(curves, tmp_path / "c.png")))

    falling, rising = [(10, 3.0), (20, 1.0)], [(10, 1.0), (20, 3.0)]
    nothing, down, up = drawn(), drawn(loss=falling), drawn(loss=rising)
    assert (down != up).any() and (down != nothing).any()
    both = drawn(loss=falling, **{"validation Dice WT": [(10, 0.5), (20, 0.8)]})
    right = both.shape[1] * 6 // 10
    assert (both[:, right:] != down[:, right:]).any()


def test_a_validation_picture_shows_prediction_and_expert_apart(tmp_path):
    image = np.full((4, 12, 14, 16), 90, np.uint8)
    expert = np.zeros((12, 14, 16), np.uint8)
    expert[6, 4:9, 4:9] = 2
    pictures = []
    for name, predicted in (("nothing", 0 * expert), ("all", expert)):
        file = validation_picture(image, (True,) * 4, predicted, expert, SCHEMA, tmp_path / f"{name}.png")
        pictures.append(np.asarray(Image.open(file)))
    third = pictures[0].shape[1] // 3
    assert (pictures[0][:, 2 * third :] == pictures[1][:, 2 * third :]).all()  # the expert's labels stay
    assert (pictures[0][:, third : 2 * third] != pictures[1][:, third : 2 * third]).any()
