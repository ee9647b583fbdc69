"""Filling a table widget with text, without losing what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

import qt

MIN_WIDTH = 40  # of a column; Qt's own least would push the last one out of a narrow panel
WIDEST = 150  # of a column that is as wide as its contents; a long name is shown whole in the tooltip
_MAX_ROWS = "mostRows"  # dynamic property


def prepare(table, stretched: int, most_rows: int) -> None:
    """Rows without numbers; column ``stretched`` takes the room that the others leave.

    The table is as high as its rows, ``most_rows`` at most. Neither its width nor its height follows the room that it
    gets: Slicer's panel follows what a module asks for, and would grow without end.
    """
    table.verticalHeader().setVisible(False)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(MIN_WIDTH)
    header.setStretchLastSection(False)
    header.setSectionResizeMode(stretched, qt.QHeaderView.Stretch)
    policy = table.sizePolicy
    policy.setVerticalPolicy(qt.QSizePolicy.Fixed)  # else the section around it takes the room below the page
    table.setSizePolicy(policy)
    table.setProperty(_MAX_ROWS, most_rows)
    _fit(table)


def fill(table, rows: Sequence[Sequence[str]], tips: Sequence[str] = (), chosen: int | None = None) -> None:
    """Show ``rows`` in place of those before, with row ``chosen`` selected; no signal is sent."""
    was_blocked = table.blockSignals(True)
    table.setCurrentCell(-1, -1)  # else Qt chooses a neighbor of a row that goes
    table.clearSelection()
    table.setRowCount(len(rows))
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(tips[row] if tips else text)
            table.setItem(row, column, item)
        table.setRowHeight(row, _row_height(table))
    if chosen is not None:
        table.selectRow(chosen)
    _fit(table)
    table.blockSignals(was_blocked)


def chosen_row(table) -> int | None:
    """The selected row, or None."""
    return next((item.row() for item in table.selectedItems()), None)


def chosen_text(table) -> str:
    """The first cell of the selected row; empty where none is selected."""
    row = chosen_row(table)
    return table.item(row, 0).text() if row is not None else ""


def _fit(table) -> None:
    """Columns as wide as their titles and texts need, the table as high as its rows."""
    header = table.horizontalHeader()
    for column in range(table.columnCount):
        if header.sectionResizeMode(column) == qt.QHeaderView.Stretch:
            continue
        table.resizeColumnToContents(column)
        widest = max(WIDEST, header.sectionSizeHint(column))
        table.setColumnWidth(column, min(widest, table.columnWidth(column)))
    rows = min(max(1, table.rowCount), int(table.property(_MAX_ROWS)))
    height = _row_height(table)
    header.setFixedHeight(height)
    table.setFixedHeight(max(table.minimumSizeHint.height(), (1 + rows) * height + 2 * table.frameWidth))


def _row_height(table) -> int:
    return qt.QFontMetrics(table.font).height() + 6
