import re

from PIL import Image

from voxmmsd.evaluation.html import DISCLAIMER, Section, write_report


def test_the_page_holds_everything_and_asks_for_nothing_outside(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "p.png")
    section = Section("Scores", ["text"], [["case", "Dice"], ["a", "0.5"]], [(tmp_path / "p.png", "a picture")], "log")
    page = write_report(tmp_path / "r.html", "Report", [section]).read_text(encoding="utf-8")
    assert DISCLAIMER in page
    assert "data:image/png;base64," in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "<td>0.5</td>" in page


def test_text_leans_to_the_left_numbers_to_the_right_and_what_is_empty_is_left_out(tmp_path):
    rows = [["case", "WT", "by", "status", "ET"], ["a", "+0.5", "b", "", "- (n=0)"], ["c", "-1 to 2", "", "", "nan"]]
    page = write_report(tmp_path / "r.html", "R", [Section("S", table=rows)]).read_text(encoding="utf-8")
    assert '<th class="text">case</th><th>WT</th><th class="text">by</th><th>ET</th>' in page
    assert '<td class="text">a</td><td>+0.5</td><td class="text">b</td><td>- (n=0)</td>' in page
    headings_alone = write_report(tmp_path / "r.html", "R", [Section("S", table=rows[:1])]).read_text(encoding="utf-8")
    assert headings_alone.count("<th") == 1 + 5  # and the table's head


def test_a_wide_picture_is_scrolled_on_a_telephone_and_a_small_one_never_enlarged(tmp_path):
    for width in (30, 1300):
        Image.new("RGB", (width, 4)).save(tmp_path / f"{width}.png")
    section = Section("S", pictures=[(tmp_path / f"{width}.png", "") for width in (30, 1300)])
    page = write_report(tmp_path / "r.html", "R", [section]).read_text(encoding="utf-8")
    assert re.findall(r"min-width: min\(\w+, (\d+)px\)", page) == ["30", "1300"]


def test_markup_in_names_is_shown_and_not_obeyed(tmp_path):
    evil = "<script>alert(1)</script>"
    section = Section(evil, [evil], [[evil], [evil]], (), evil)
    page = write_report(tmp_path / "r.html", evil, [section]).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 7
