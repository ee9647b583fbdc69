"""Filling a table widget with text, without losing what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

import qt

ROW_HEIGHT = 22
LEAST_WIDTH = 40  # of a column; Qt's own least would push the last one out of a narrow panel


def prepare(table, widths: Sequence[int]) -> None:
    """Rows without numbers, columns as wide as asked for or as their titles need, the last one taking the rest."""
    table.verticalHeader().setVisible(False)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(LEAST_WIDTH)
    header.setStretchLastSection(True)
    for column in range(table.columnCount):
        asked = widths[column] if column < len(widths) else 0
        table.setColumnWidth(column, max(asked, header.sectionSizeHint(column)))


def fill(table, rows: Sequence[Sequence[str]], tips: Sequence[str] = (), chosen: int | None = None) -> None:
    """Show ``rows`` in place of those before, with row ``chosen`` selected; no signal is sent."""
    was_blocked = table.blockSignals(True)
    table.clearSelection()
    table.setRowCount(len(rows))
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(tips[row] if tips else text)
            table.setItem(row, column, item)
        table.setRowHeight(row, ROW_HEIGHT)
    if chosen is not None:
        table.selectRow(chosen)
    table.blockSignals(was_blocked)


def chosen_row(table) -> int | None:
    """The selected row, or None."""
    return next((item.row() for item in table.selectedItems()), None)
