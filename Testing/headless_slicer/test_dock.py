"""The panels in Slicer's dock, which follows what they hint: nothing widens it, all of it can be read."""

import json
import time
from functools import partial
from pathlib import Path

import pytest
from PySide6 import QtCore, QtGui, QtWidgets

from headless_slicer import host
from headless_slicer.main_window import DOCK_WIDTH, MainWindow

slicer = host.start()
for name in host.MODULES:
    host.load_module(name)

SCREENS = ((1366, 768), (1920, 1200))
WIDEST_HINT = 450
LONG = " ".join(["A sentence that explains to the user in some words what has gone wrong and what can be done."] * 3)


@pytest.fixture(autouse=True)
def left_well(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXMMSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VOXMMSD_BUNDLED", str(tmp_path / "no-starter"))
    slicer.mrmlScene.Clear()
    yield
    host.leave()


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen[0]}x{screen[1]}")
def window(request):
    with MainWindow(*request.param) as window:
        yield window


@pytest.fixture
def training(window, tmp_path):
    """The training panel with a full library, a long name of a model, a run, a result and long notices."""
    from VoxMMSDLib import settings

    settings.write("library", str(a_library(tmp_path)))
    settings.write("TrainRunsFolder", str(some_runs(tmp_path / "runs")))
    settings.write("TrainRun", "")
    slicer.util.selectModule("VoxMMSDTrain")
    panel = slicer.modules.VoxMMSDTrainWidget
    panel.run.follow(tmp_path / "runs" / "corrections-of-the-second-quarter-with-a-long-name")
    for label in ("noticeLabel", "casesNotice", "unnamedNotice", "importNotice"):
        for tab in (panel.library, panel.task, panel.run, panel.result):
            if hasattr(tab.ui, label):
                getattr(tab.ui, label).text = LONG
                getattr(tab.ui, label).visible = True
    panel.task.ui.estimateLabel.text = panel.run.ui.stateLabel.text = LONG
    window.settle()
    yield panel
    for key in ("library", "TrainRunsFolder", "TrainRun"):
        settings.write(key, "")


def a_library(folder):
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.formats.sources import read_volume
    from voxmmsd.library import create_library
    from voxmmsd.phantom import write_phantoms

    write_phantoms(folder / "cases", 3, seed=7, side=24)
    library = create_library(folder / "library", seed=0)
    for case in find_cases(folder / "cases").cases:
        library.add_case(case.id, {name: read_volume(source) for name, source in case.modalities.items()})
    return library.folder


def some_runs(folder):
    from model_record import write_model_record

    from voxmmsd.runs.events import EventWriter

    run = folder / "corrections-of-the-second-quarter-with-a-long-name"
    (run / "model").mkdir(parents=True)
    model = f"{run.name}-20261126-101112"
    status = {"verb": "finetune", "state": "finished", "step": 30, "total": 30, "heartbeat": time.time(), "host": "h"}
    write(run / "status.json", {**status, "pid": 1})
    write(run / "config.json", {"verb": "finetune", "options": {"folders": ["library"]}, "directory": str(folder)})
    write_model_record(run, model)
    regions = {key: [0.0, 0.886] for key in ("WT", "TC", "ET")}
    cases = [
        {"case_id": f"phantom-011-{number:03d}", "patient": f"p{number}", "unfair": "it learned it" * (number == 2),
         "old": {"WT": 0.0}, "new": {"WT": 0.886 if number else None}}
        for number in range(9)
    ]  # fmt: skip
    told = {"old": f"{model}-old", "outcome": "better", "text": LONG, "few": True, "patients": 1}
    write(run / "comparison.json", {**told, "regions": regions, "cases": cases})
    (run / "previews").mkdir()
    picture = QtGui.QImage(900, 700, QtGui.QImage.Format.Format_RGB32)
    picture.fill(QtGui.QColor("gray"))
    picture.save(str(run / "previews" / "step-000010.png"))
    events = EventWriter(run / "events.jsonl")
    for step in (1, 2):
        for region in ("WT", "TC", "ET"):
            events.write("metric", name=f"validation Dice {region}", step=step, value=0.1 * step)
    events.write("preview", step=10, file="previews/step-000010.png")
    events.close()
    return folder


def write(file: Path, record):
    file.write_text(json.dumps(record), encoding="utf-8")


def hint(widget):
    return QtWidgets.QWidget.sizeHint(widget).width()


def refuse_squeezed_or_wide(window, page):
    assert window.squeezed() == []
    assert window.dock_width <= WIDEST_HINT
    window.set_dock_width(800)
    wide = hint(page)
    window.set_dock_width(DOCK_WIDTH)
    assert hint(page) == wide < WIDEST_HINT


def visit(window, panel):
    """Open each tab of a panel."""
    for number in range(panel.ui.tabs.count):
        panel.ui.tabs.setCurrentIndex(number)
        window.settle()
        yield panel.ui.tabs.currentWidget()


def test_no_tab_widens_the_dock_however_often_one_comes_and_goes(window, training):
    for _round in range(3):
        for page in visit(window, training):
            assert window.dock_width == DOCK_WIDTH, page
        slicer.util.selectModule("SegmentEditor")
        slicer.util.selectModule("VoxMMSDTrain")
        window.settle()


def test_what_a_tab_hints_does_not_follow_the_width_that_it_has(window, training):
    for page in visit(window, training):
        hints = []
        for width in (DOCK_WIDTH, 800):
            window.set_dock_width(width)
            assert window.dock_width == width
            hints.append((hint(page), hint(training.parent)))
        assert hints[0] == hints[1]
        assert max(hints[0]) < WIDEST_HINT
        window.set_dock_width(DOCK_WIDTH)


def test_nothing_of_the_training_panel_is_squeezed(window, training):
    for _page in visit(window, training):
        assert window.squeezed() == []


def test_each_page_has_the_height_that_its_wrapped_texts_need(window, training):
    """A scroll area of Qt 5 forgets it, and what lies on the page overlaps."""
    for page in visit(window, training):
        host.wait_until(partial(has_its_height, page))


def has_its_height(page):
    real = QtWidgets.QWidget
    return real.minimumHeight(page) == real.layout(page).minimumHeightForWidth(real.width(page)) > 0


def test_a_page_without_text_that_wraps_gets_no_height_below_0_of_which_qt_warns():
    import qt

    from VoxMMSDLib.pages import FitsItsText

    page, fit = qt.QWidget(), FitsItsText()
    page.setLayout(qt.QVBoxLayout())
    page.layout().addWidget(qt.QLabel("short"))
    page.installEventFilter(fit)
    said = []
    before = QtCore.qInstallMessageHandler(lambda _kind, _where, text: said.append(text))
    try:
        QtCore.QCoreApplication.sendEvent(page, QtGui.QResizeEvent(QtCore.QSize(300, 200), QtCore.QSize(1, 1)))
    finally:
        QtCore.qInstallMessageHandler(before)
    assert said == []


def test_what_a_button_says_is_scrolled_into_view(window, training):
    training.showTab("Result")
    notice = training.result.ui.importNotice
    notice.visible = False
    window.settle()
    area = window.panel.scroll_area
    area.verticalScrollBar().setValue(0)
    training.result.ui.importButton.click()
    real = QtWidgets.QWidget

    def is_seen():
        at_its_end = real.mapTo(notice, area, real.rect(notice).bottomLeft()).y() <= real.height(area)
        return area.verticalScrollBar().value() and at_its_end

    host.wait_until(is_seen)
    assert notice.visible and notice.text.startswith("No model is chosen")


def test_nothing_of_the_segmentation_panel_is_squeezed_and_no_tab_widens_the_dock(window):
    slicer.util.selectModule("VoxMMSDSegment")
    panel = slicer.modules.VoxMMSDSegmentWidget
    panel.finish_setup()
    for page in visit(window, panel):
        refuse_squeezed_or_wide(window, page)


@pytest.fixture
def followed(window, tmp_path):
    """The segmentation panel with a follow-up of three visits, long names and a failure."""
    from VoxMMSDSegmentLib.follow_job import Followed

    slicer.util.selectModule("VoxMMSDSegment")
    panel = slicer.modules.VoxMMSDSegmentWidget
    tab = panel.follow_tab
    for number in range(3):
        tab.visits.add(tmp_path / f"TCGA-02-0054-a-rather-long-name-of-a-visit-{number}-voxmmsd.nii.gz")
    picture = QtGui.QImage(420, 520, QtGui.QImage.Format.Format_RGB32)
    picture.fill(QtGui.QColor("gray"))
    picture.save(str(tmp_path / "follow-up.png"))
    tab.found = Followed(tmp_path, follow_up_record())
    tab._fill()
    tab._say(LONG)
    panel.ui.keptLabel.text = LONG
    panel.ui.tabs.setCurrentWidget(panel.ui.followTab)
    window.settle()
    return panel


def follow_up_record():
    part = {"volume_ml": 128.4567, "longest_mm": 108.4, "perpendicular_mm": 101.2, "product_mm2": 10970.1}
    of_rano = {"response": "PD", "why": "a new measurable lesion", "change_from_first": 12.3, "change_from_least": 12.3}
    regions = ("WT", "TC", "ET", "NETC", "SNFH", "RC")
    visits = [
        {"case": "c", "days": 1093 * number, "volumes_ml": dict.fromkeys(regions, 178.4567 * (1 + number)),
         "sum_of_products_mm2": 12345.6} | ({"rano_by_diameters": of_rano, "rano_by_volume": of_rano} if number else {})
        for number in range(3)
    ]  # fmt: skip
    events = (
        ("first visit", "persistent", "split and merged"),
        ("", "new", "persistent"),
        ("first visit", "resolved", ""),
    )
    lesions = [
        {
            "lesion": number,
            "visits": [{"event": event, "parts": [part] * (event not in ("", "resolved"))} for event in row],
        }
        for number, row in enumerate(events * 3, start=1)
    ]
    return {"schema": "brats-gli-2024", "visits": visits, "lesions": {"ET": lesions, "WT": lesions}}


def test_a_follow_up_with_three_visits_and_long_words_fits_the_dock(window, followed):
    page, ui = followed.ui.followTab, followed.ui
    refuse_squeezed_or_wide(window, page)
    for label in (ui.followLabel, ui.summaryLabel, ui.caveatLabel, ui.keptLabel):
        needed = QtWidgets.QLabel.heightForWidth(label, QtWidgets.QWidget.width(label))
        assert QtWidgets.QWidget.minimumHeight(label) >= needed > 20
    followed.follow_tab._say("short")
    assert QtWidgets.QWidget.minimumHeight(ui.followLabel) < 40
    summary = ui.summaryLabel
    lines = summary.text.count("<br>") + 1
    assert QtWidgets.QWidget.minimumHeight(summary) < 3 * lines * QtGui.QFontMetrics(summary.font).height()
    assert ui.chartImage.height >= ui.chartImage.pixmap.height() / ui.chartImage.devicePixelRatioF()


def test_numbers_of_a_follow_up_can_be_read(window, followed):
    for table in (followed.ui.visitsTable, followed.ui.changesTable, followed.ui.lesionsTable):
        assert table.rowCount > 2
        for column in range(1, table.columnCount):
            assert table.columnWidth(column) >= QtWidgets.QTableWidget.sizeHintForColumn(table, column)
        assert table.horizontalScrollBar().maximum() == 0
    names = [followed.ui.lesionsTable.item(row, 0).text() for row in range(followed.ui.lesionsTable.rowCount)]
    assert {"2 new, ml", "3 resolved, ml"} <= set(names)
    assert "New since day 0: lesion 2" in followed.ui.summaryLabel.text


def test_numbers_and_names_of_the_tables_can_be_read(window, training):
    tables = (training.library.ui.casesTable, training.run.ui.runsTable,
              training.result.ui.regionsTable, training.result.ui.casesTable)  # fmt: skip
    whole = ((0, 1, 2), (1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4))  # columns; the others hold names of any length
    pages = (0, 2, 3, 3)
    for table, columns, page in zip(tables, whole, pages, strict=True):
        training.ui.tabs.setCurrentIndex(page)
        window.settle()
        assert table.rowCount > 0
        for column in columns:
            assert table.columnWidth(column) >= QtWidgets.QTableWidget.sizeHintForColumn(table, column)
        assert table.horizontalScrollBar().maximum() == 0  # nothing is reached by sideways scrolling alone


def test_a_preview_is_shown_whole_and_the_curves_have_their_legend(window, training):
    training.ui.tabs.setCurrentIndex(2)
    window.settle()
    image = training.run.ui.previewImage
    assert QtWidgets.QWidget.isVisible(image)
    assert image.height >= image.pixmap.height() / image.devicePixelRatioF()
    assert not training.run.ui.plotView.isHidden() and "WT" in training.run.ui.legendLabel.text


def test_the_decision_stands_below_the_verdict_on_a_small_screen(window, training):
    training.ui.tabs.setCurrentIndex(3)
    window.settle()
    page = training.ui.tabs.currentWidget()
    place = QtWidgets.QWidget.mapTo(training.result.ui.acceptButton, page, QtWidgets.QWidget.rect(page).topLeft())
    assert place.y() < 300


def test_a_plot_that_has_nothing_to_draw_is_hidden(window, training, tmp_path):
    run = tmp_path / "runs" / "young"
    run.mkdir()
    write(
        run / "status.json", {"verb": "finetune", "state": "running", "heartbeat": time.time(), "host": "h", "pid": 1}
    )
    training.run.follow(run)
    assert training.run.ui.plotView.isHidden() and training.run.ui.curveChoice.isHidden()


def test_the_rows_of_a_short_page_stay_together_in_a_high_dock(window, tmp_path):
    slicer.util.selectModule("VoxMMSDSegment")
    panel = slicer.modules.VoxMMSDSegmentWidget
    panel.finish_setup()
    panel.follow_tab.visits.add(tmp_path / "a-voxmmsd.nii.gz")
    panel.ui.tabs.setCurrentWidget(panel.ui.followTab)
    window.set_height(1400)
    section = panel.ui.visitsSection
    hint = QtWidgets.QWidget.sizeHint(section).height()
    host.wait_until(lambda: QtWidgets.QWidget.height(section) == hint, 20)


def test_what_is_said_below_the_visible_part_is_scrolled_into_sight(window):
    slicer.util.selectModule("VoxMMSDSegment")
    panel = slicer.modules.VoxMMSDSegmentWidget
    panel.finish_setup()
    ui = panel.ui
    ui.tabs.setCurrentWidget(ui.reviewTab)
    window.set_height(500)
    assert QtWidgets.QWidget.visibleRegion(ui.acceptedLabel).isEmpty()
    panel.review_tab._say_kept(LONG)
    host.wait_until(lambda: _is_seen(ui.acceptedLabel))
    assert not _is_seen(ui.resultSelector)
    for _step in panel.review_tab.first_look():
        pass
    host.wait_until(lambda: _is_seen(ui.resultSelector))
    ui.tabs.setCurrentWidget(ui.segmentTab)
    window.settle()
    panel.segment_tab._show_error(LONG, LONG)
    host.wait_until(lambda: _is_seen(ui.copyDetailsButton))


@pytest.fixture
def scrolled():
    """A label far below in an area, and what scrolls to it; the area, the label, and a widget above it."""
    import qt

    from VoxMMSDLib.sight import Scroller

    area, page = qt.QScrollArea(), qt.QWidget()
    page.setLayout(qt.QVBoxLayout())
    above, label = qt.QLabel("above"), qt.QLabel("below")
    above.setMinimumHeight(1000)
    page.layout().addWidget(above)
    page.layout().addWidget(label)
    area.setWidget(page)
    area.widgetResizable = True
    area.resize(200, 200)
    area.show()
    scroller = Scroller(label)
    scroller.start()
    bar = QtWidgets.QScrollArea.verticalScrollBar(area)
    host.wait_until(lambda: bar.value() > 0)
    yield bar, label, above
    scroller.stop()
    area.close()


def test_what_moves_after_it_was_scrolled_to_is_scrolled_to_again(scrolled):
    _bar, label, above = scrolled
    above.setMinimumHeight(3000)
    host.wait_until(lambda: _is_seen(label) and QtWidgets.QWidget.y(label) > 2000, 20)


def test_a_user_who_scrolls_meanwhile_stays_where_he_is(scrolled):
    bar, _label, _above = scrolled
    bar.setValue(100)
    with pytest.raises(TimeoutError):
        host.wait_until(lambda: bar.value() != 100, 1)


def _is_seen(widget):
    seen = QtWidgets.QWidget.visibleRegion(widget).boundingRect()
    return seen.height() == QtWidgets.QWidget.height(widget)
