"""The panels' manners: every control explained, within reach of the keyboard, readable on any ground, translatable."""

import ast
import re
from collections import Counter
from xml.etree import ElementTree

import pytest
from PySide6 import QtGui, QtWidgets

from headless_slicer import grounds, host
from headless_slicer.main_window import MainWindow

slicer = host.start()
for name in host.MODULES:
    host.load_module(name)

UI = sorted(host.REPOSITORY.glob("VoxMMSD*/Resources/UI/*.ui"))
SEGMENT_UI = [
    file for name in ("VoxMMSDSegment", "Review", "FollowUp") for file in UI if file.stem == name
]  # as the tabs follow
SOURCES = sorted(host.REPOSITORY.glob("VoxMMSD*/**/*.py"))
NO_CONTROL = {"QWidget", "QLabel", "QFrame", "QTabWidget", "qMRMLWidget", "ctkCollapsibleButton", "QScrollArea",
              "QGroupBox", "QStackedWidget", "ctkCollapsibleGroupBox", "QSplitter"}  # fmt: skip
OF_THE_MENU_BAR = set("FEVH")  # File, Edit, View, Help of Slicer's main window
MIN_CONTRAST = 4.5  # WCAG 2.1, 1.4.3
WIDTH_OF_TABLES = 336  # pixels of a panel of 400 px beside margins, frames and a scroll bar
SHOWS_TEXT = ("setText", "setToolTip", "setTitle", "setPlaceholderText", "addItem", "addTab", "QLabel", "QPushButton",
              "QCheckBox", "setWindowTitle", "setPlainText", "errorDisplay", "confirmYesNoDisplay",
              "tryWithErrorDisplay")  # fmt: skip


def texts(widget):
    return {item.attrib["name"]: "".join(item.itertext()).strip() for item in widget.findall("property")}


@pytest.mark.parametrize("file", UI, ids=lambda file: file.stem)
def test_every_control_has_a_tooltip(file):
    widgets = [w for w in ElementTree.parse(file).iter("widget") if w.attrib["class"] not in NO_CONTROL]
    assert [w.attrib["name"] for w in widgets if not texts(w).get("toolTip")] == []


@pytest.mark.parametrize("file", UI, ids=lambda file: file.stem)
def test_labels_lead_to_their_controls_by_letters_of_their_own(file):
    root = ElementTree.parse(file)
    named = {w.attrib["name"] for w in root.iter("widget")}
    labels = [texts(w) for w in root.iter("widget") if w.attrib["class"] == "QLabel"]
    assert [t["text"] for t in labels if t.get("text", "").endswith(":") and t.get("buddy") not in named] == []
    for tab in root.find("widget").iter("widget"):
        if tab.attrib["name"].endswith("Tab") or tab is root.find("widget"):
            inside = [w for w in tab.iter("widget") if tab.attrib["name"].endswith("Tab") or not _in_a_tab(root, w)]
            letters = Counter(m[1].upper() for w in inside for m in re.finditer(r"&([^&\s])", _plain(w)))
            assert [letter for letter, count in letters.items() if count > 1] == []
            assert not OF_THE_MENU_BAR & set(letters)


def _in_a_tab(root, widget):
    return any(widget in set(tab.iter("widget")) for tab in root.iter("widget") if tab.attrib["name"].endswith("Tab"))


def _plain(widget):
    return texts(widget).get("text", "").replace("&&", "")


def test_the_tab_key_goes_down_the_segment_panel():
    panel = host.open_widget("VoxMMSDSegment")
    try:
        panel.finish_setup()
        order = [w.attrib["name"] for file in SEGMENT_UI for w in ElementTree.parse(file).iter("widget")]
        order = [name for name in order if hasattr(panel.ui, name)]
        chain, widget = [], panel.parent
        while (widget := QtWidgets.QWidget.nextInFocusChain(widget)) is not panel.parent:
            chain.append(QtWidgets.QWidget.objectName(widget))
        controls = [name for name in chain if name in order]
        assert controls == [name for name in order if name in controls]
        assert len(controls) > 30
    finally:
        panel.cleanup()


@pytest.fixture(params=["light", "dark"])
def palette(request):
    before = QtWidgets.QApplication.palette()
    made = grounds.palette(request.param)
    QtWidgets.QApplication.setPalette(made)
    yield made
    QtWidgets.QApplication.setPalette(before)


def test_texts_can_be_read_on_a_light_and_on_a_dark_ground(palette):
    from voxmmsd.records.findings import SEVERITIES, Finding

    panel = host.open_widget("VoxMMSDSegment")
    try:
        panel.finish_setup()
        findings = tuple(Finding(severity, "kind", f"what is {severity}", "way out") for severity in SEVERITIES)
        panel.segment_tab._look_timer.stop()
        panel.segment_tab.findings.show((*findings, findings[0]), {}, frozenset({3}))
        panel.segment_tab._show_error("What is wrong", "the way out")
        for number in range(panel.ui.tabs.count):
            assert lowest_contrast(panel, number) >= MIN_CONTRAST
        signs = QtWidgets.QWidget.findChildren(panel.ui.findingsFrame, QtWidgets.QLabel)
        colors = [re.search(r"color:(#\w+)", label.property("text"))[1] for label in signs]
        ground = palette.color(QtGui.QPalette.ColorRole.Window)
        assert min(ratio(QtGui.QColor(color), ground) for color in colors) >= MIN_CONTRAST
    finally:
        panel.cleanup()


def test_the_segment_editor_gets_the_height_that_its_options_need():
    """In Slicer a page in its scroll area is as high as its smallest height, which an explicit one replaces."""
    panel = host.open_widget("VoxMMSDSegment")
    try:
        panel.finish_setup()
        with MainWindow():
            panel.ui.tabs.setCurrentWidget(panel.ui.reviewTab)
            for effect in ("Paint", "Threshold", "Smoothing"):
                panel.ui.segmentEditor.setActiveEffectByName(effect)
                _as_in_slicer(panel, 424)
                editor = panel.ui.segmentEditor
                assert smallest_height(editor) >= QtWidgets.QWidget.layout(editor).totalMinimumSize().height() > 300
    finally:
        panel.cleanup()


def test_findings_are_shown_whole_however_narrow_the_panel_is():
    from voxmmsd.records.findings import WARNING, Finding

    text = "t1n, t1c, t2w, t2f: more tissue (3,254 ml) than a brain has; the skull seems not to be stripped"
    panel = host.open_widget("VoxMMSDSegment")
    try:
        panel.finish_setup()
        panel.segment_tab._look_timer.stop()
        panel.segment_tab.findings.show((Finding(WARNING, "skull", text, "way"),) * 7, {}, frozenset())
        for width in (600, 424, 360):
            _as_in_slicer(panel, width)
            for label in QtWidgets.QWidget.findChildren(panel.ui.findingsFrame, QtWidgets.QLabel):
                needed = QtWidgets.QLabel.heightForWidth(label, QtWidgets.QWidget.width(label))
                assert smallest_height(label) >= needed > 20
    finally:
        panel.cleanup()


def smallest_height(widget):
    """What a layout gives it at least, by which Slicer's scroll area measures the page."""
    return QtWidgets.QWidgetItem(widget).minimumSize().height()


def _as_in_slicer(panel, width):
    """As wide as the dock, and as high as the page's smallest height."""
    real = QtWidgets.QWidget
    real.show(panel.parent)
    for _ in range(4):  # heights follow widths step by step
        real.resize(panel.parent, width, real.minimumSizeHint(panel.parent).height())
        slicer.app.processEvents()


def test_texts_of_the_training_panel_can_be_read_too(palette):
    panel = host.open_widget("VoxMMSDTrain")
    try:
        for number in range(panel.ui.tabs.count):
            assert lowest_contrast(panel, number) >= MIN_CONTRAST
    finally:
        panel.cleanup()


def test_titles_of_columns_are_not_cut_off_and_fit_a_narrow_panel():
    """Also in bold, which they are where a row is chosen."""
    panel = host.open_widget("VoxMMSDTrain")
    try:
        run, result = panel.run.ui, panel.result.ui
        for table in (panel.library.ui.casesTable, run.runsTable, result.regionsTable, result.casesTable):
            header = table.horizontalHeader()
            needed = [header.sectionSizeHint(column) for column in range(table.columnCount)]
            given = [table.columnWidth(column) for column in range(table.columnCount)]
            assert [pair for pair in zip(needed, given, strict=True) if pair[1] < pair[0]] == []
            assert sum(needed) <= WIDTH_OF_TABLES
    finally:
        panel.cleanup()


def lowest_contrast(panel, number):
    """The lowest contrast of a text that a tab shows."""
    panel.ui.tabs.setCurrentIndex(number)
    real = QtWidgets.QWidget
    real.show(panel.parent)
    real.resize(panel.parent, 400, 1200)
    slicer.app.processEvents()
    seen = {
        child.property("text"): contrast(child)
        for child in real.findChildren(panel.parent, QtWidgets.QWidget)
        if isinstance(child, QtWidgets.QLabel | QtWidgets.QAbstractButton)
        and real.isVisible(child) and real.isEnabled(child) and re.search(r"\w", child.property("text"))
        and not real.grab(child).isNull() and min(real.size(child).toTuple()) > 1
    }  # fmt: skip
    assert len(seen) >= 2
    return min(seen.values())


def contrast(widget):
    """Of the ink that stands out most against the most frequent color."""
    image = QtWidgets.QWidget.grab(widget).toImage()
    colors = Counter(image.pixel(x, y) for y in range(image.height()) for x in range(image.width()))
    ground = QtGui.QColor(colors.most_common(1)[0][0])
    return max(ratio(QtGui.QColor(color), ground) for color in colors)


def ratio(one, other):
    """Contrast of two colors by WCAG 2.1: 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color):
    channels = (color.redF(), color.greenF(), color.blueF())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_every_visible_string_can_be_translated(file):
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    raw = [ast.unparse(call) for call in calls if _called(call) in SHOWS_TEXT and any(map(_is_raw, call.args[:2]))]
    assert raw == [], "take them through slicer.i18n"
    filled_in = [
        ast.unparse(call) for call in calls if _called(call) == "_" and isinstance(call.args[0], ast.JoinedStr)
    ]
    assert filled_in == [], "a translator sees no f-string: use .format()"


def _called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _is_raw(argument):
    """A text with words in it, written out."""
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    written = "".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return bool(re.search(r"[A-Za-z]{2}", re.sub(r"<[^>]*>|&\w+;", "", written)))
