import re

from PIL import Image

from voxmmsd.evaluation.report import DISCLAIMER, Section, write_report


def test_the_page_holds_everything_and_asks_for_nothing_outside(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "p.png")
    section = Section("Scores", ["text"], [["case", "Dice"], ["a", "0.5"]], [(tmp_path / "p.png", "a picture")], "log")
    page = write_report(tmp_path / "r.html", "Report", [section]).read_text(encoding="utf-8")
    assert DISCLAIMER in page
    assert "data:image/png;base64," in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "<td>0.5</td>" in page


def test_markup_in_names_is_shown_and_not_obeyed(tmp_path):
    evil = "<script>alert(1)</script>"
    section = Section(evil, [evil], [[evil], [evil]], (), evil)
    page = write_report(tmp_path / "r.html", evil, [section]).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 7
