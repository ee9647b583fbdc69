"""The choice of a model, with what its card says for the images now chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import ModelError
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.models import registry
from voxmmsd.models.archive import export_model
from voxmmsd.models.package import ModelInfo, ModelPackage
from voxmmsd.models.subsets import expectation
from VoxMMSDLib.pages import Page
from VoxMMSDSegmentLib.words import in_panel_words

NEWEST = ""  # of the combo's data: the newest accepted model


class ModelsBox:
    """Ties the combo, the card and the four buttons; ``on_change`` is called with the id chosen by the user."""

    def __init__(self, ui: Page, on_change: Callable[[str], None]) -> None:
        self._ui, self._on_change = ui, on_change
        self._packages: dict[str, ModelPackage] = {}
        self._modalities: Sequence[str] = MODALITIES
        self.is_read = False
        for button in (ui.useModelButton, ui.exportModelButton, ui.deleteModelButton):
            button.setEnabled(False)
        ui.modelCombo.connect("activated(int)", self._chosen)
        ui.moreCardButton.connect("toggled(bool)", self._turn_card)
        ui.useModelButton.connect("clicked()", self._use)
        ui.importModelButton.connect("clicked()", self._import)
        ui.exportModelButton.connect("clicked()", self._export)
        ui.deleteModelButton.connect("clicked()", self._delete)

    @property
    def chosen(self) -> ModelPackage | None:
        """The model that will be used, None where there is none."""
        chosen = self._ui.modelCombo.currentData
        if chosen:
            return self._packages.get(chosen)
        try:
            return registry.resolve_model()
        except ModelError:
            return None

    @property
    def chosen_id(self) -> str:
        """Empty for the newest accepted one."""
        return self._ui.modelCombo.currentData or NEWEST

    def refresh(self, model_id: str) -> None:
        """Read the registry again and show ``model_id``."""
        self.is_read = True
        self._packages = {p.info.id: p for p in registry.list_models() if p.info.segments}
        combo = self._ui.modelCombo
        combo.clear()
        combo.addItem(self._newest_text(), NEWEST)
        for text, one in titles([package.info for package in reversed(list(self._packages.values()))]):
            combo.addItem(text, one)
        combo.setCurrentIndex(max(0, combo.findData(model_id)) if model_id else 0)
        self.show_card(self._modalities)

    def show_card(self, modalities: Sequence[str]) -> None:
        self._modalities = modalities
        package = self.chosen
        is_own = package is not None and package.folder.parent == registry.registry_folder()
        self._ui.exportModelButton.setEnabled(package is not None)
        self._ui.useModelButton.setEnabled(package is not None and package.info.id != _id_in_use())
        self._ui.deleteModelButton.setEnabled(is_own and bool(self.chosen_id))
        is_whole = self._ui.moreCardButton.checked
        self._ui.modelCard.setText(_card(package, modalities, is_whole) if package else _NO_MODEL)
        self._ui.moreCardButton.setVisible(package is not None)

    def _turn_card(self, is_whole: bool) -> None:
        self._ui.moreCardButton.setArrowType(qt.Qt.DownArrow if is_whole else qt.Qt.RightArrow)
        self.show_card(self._modalities)

    def _newest_text(self) -> str:
        try:
            return _("Newest accepted: {name}").format(name=registry.resolve_model().info.name)
        except ModelError:
            return _("(no model yet)")

    def _chosen(self, _index: int) -> None:
        self.show_card(self._modalities)
        self._on_change(self.chosen_id)

    def _import(self) -> None:
        file = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Model package"), "", _("Model packages (*.zip)")
        )
        if file:
            self.import_file(Path(file))

    def import_file(self, file: Path) -> None:
        """Take a package into the registry and choose it for this case; the model in use stays the one it was."""
        with slicer.util.tryWithErrorDisplay(_("The model could not be imported."), waitCursor=True):
            package = registry.import_model(file)
            self.refresh(package.info.id)
            self._on_change(self.chosen_id)

    def _use(self) -> None:
        package = self.chosen
        if package is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The model could not be put into use.")):
            registry.accept(package)
            self.refresh(NEWEST)
            self._on_change(NEWEST)

    def _export(self) -> None:
        package = self.chosen
        if package is None:
            return
        name = f"{package.info.id}.zip"
        file = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Export model"), name, _("Model packages (*.zip)")
        )
        if file:
            with slicer.util.tryWithErrorDisplay(_("The model could not be exported."), waitCursor=True):
                export_model(package, Path(file))

    def _delete(self) -> None:
        package = self.chosen
        if package is None:
            return
        question = _("Delete the model {name} ({size:.0f} MB) from this computer?")
        if slicer.util.confirmYesNoDisplay(question.format(name=package.info.name, size=package.size_bytes / 1e6)):
            with slicer.util.tryWithErrorDisplay(_("The model could not be deleted.")):
                self.delete_chosen()

    def delete_chosen(self) -> None:
        """Raises ModelError: the model is in use, or bundled."""
        if self.chosen is not None:
            registry.delete(self.chosen.info.id)
        self.refresh(NEWEST)
        self._on_change(NEWEST)


def titles(models: Sequence[ModelInfo]) -> list[tuple[str, str]]:
    """Name and day of each model, with its id; of the same name and day, with what tells them apart."""
    days = [_("{name}  ({day})").format(name=info.name, day=info.created[:10]) for info in models]
    times = [_("{name}  ({day})").format(name=info.name, day=info.created[:16].replace("T", " ")) for info in models]
    found = []
    for day, time, info in zip(days, times, models, strict=True):
        text = day if days.count(day) == 1 else time
        is_alone = days.count(day) == 1 or times.count(time) == 1
        found.append((text if is_alone else f"{text}  {info.id}", info.id))
    return found


def _id_in_use() -> str:
    try:
        return registry.resolve_model().info.id
    except ModelError:
        return ""


def _card(package: ModelPackage, modalities: Sequence[str], is_whole: bool) -> str:
    """In short: what the model is for, that it is for research, and what to expect of the images; else all of it."""
    info = package.info
    purpose, rest = _first_sentence(info.limits)
    lines = ["<i>" + _("Research use only.") + "</i> " + escape(purpose)]
    if is_whole:
        lines.append(escape(rest))
        tissues = ", ".join(label.name for label in schema_named(info.schema).labels)
        lines.append(_("Segments: {tissues}.").format(tissues=escape(tissues)))
        lines.append(scores_text(info))
    if expected := expected_text(info, modalities):
        lines.append(f"<b>{escape(expected, quote=False)}</b>")
    return "<br>".join(filter(None, lines))


def _first_sentence(text: str) -> tuple[str, str]:
    """The first sentence, and what follows it."""
    first, _end, rest = text.partition(". ")
    return (f"{first}.", rest) if rest else (text, "")


def scores_text(info: ModelInfo) -> str:
    """The scores with all four modalities."""
    split, record = info.headline_scores
    if not record:
        return str(_("Scores: none were measured."))
    text = ", ".join(f"{key} {value:.2f}" for key, value in record.get("regions", {}).items() if value is not None)
    return str(
        _("Mean Dice ({split} cases: {count}): {text}.").format(count=record.get("cases", "?"), split=split, text=text)
    )


def expected_text(info: ModelInfo, modalities: Sequence[str]) -> str:
    """What the card expects where modalities are missing; empty where none is, or none is chosen yet."""
    missing = tuple(name for name in MODALITIES if name not in modalities)
    return f"{in_panel_words(expectation(info, missing))}." if modalities and missing else ""


_NO_MODEL = _("There is no model yet: import one, or train one in the module <b>Vox-MMSD Brain Tumor Training</b>.")
