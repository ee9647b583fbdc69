"""The tab Result without a training: cases that do not count, few patients, bars of nothing, notices at buttons."""

import slicer
import train_case
from model_record import write_model_record

from voxmmsd.errors import LibraryError
from voxmmsd.files import write_json_atomic
from VoxMMSDTrainLib.curves import square
from VoxMMSDTrainLib.words import plain


class TrainResultTest(train_case.TrainTest):
    def show(self, cases=(), regions=None, **told):
        """The tab with a finished run of this comparison."""
        run = self.folder / "home" / "runs" / "taught"
        write_json_atomic(run / "status.json", {"verb": "finetune", "state": "finished", "step": 1, "total": 1})
        write_json_atomic(run / "config.json", {"options": {"folders": ["library"]}, "directory": str(self.folder)})
        write_model_record(run, "new-1")
        known = {"old": "old-1", "outcome": "better", "text": "so it is", "sure": True, "few": False, "patients": 5}
        record = {**known, "regions": regions or {"WT": [0.5, 0.6]}, "cases": list(cases), **told}
        write_json_atomic(run / "comparison.json", record)
        panel = self.open_panel("VoxMMSDTrain")
        panel.result.show(run)
        return panel

    def test_a_case_without_a_score_is_not_shown_as_one_that_counts(self):
        cases = [
            {"case_id": "a-1", "patient": "a", "old": {"WT": 0.5}, "new": {"WT": 0.6}},
            {"case_id": "b-2", "patient": "b", "old": {"WT": None}, "new": {"WT": None}},
            {"case_id": "c-3", "patient": "c", "old": {"WT": 0.5}, "new": {"WT": 0.4}, "unfair": "old-1 learned it"},
        ]
        table = self.show(cases).result.ui.casesTable
        rows = {table.item(row, 0).text(): row for row in range(table.rowCount)}
        counts = {case: table.item(row, 4).text() for case, row in rows.items()}
        self.assertEqual(counts, {"a-1": "yes", "b-2": "no", "c-3": "no"})
        self.assertIn("no region that could be scored", table.item(rows["b-2"], 0).toolTip())
        self.assertIn("old-1 learned it", table.item(rows["c-3"], 0).toolTip())

    def test_better_on_one_patient_is_said_with_caution(self):
        panel = self.show(few=True, patients=1)
        self.assertIn("on only one patient: too few to be sure", panel.result.ui.verdictLabel.text)

    def test_better_by_an_interval_that_holds_0_is_said_with_caution(self):
        self.assertIn("not certain", self.show(sure=False).result.ui.verdictLabel.text)

    def test_better_on_many_is_said_plainly(self):
        self.assertEqual(self.show().result.ui.verdictLabel.text, "The new model is better.")

    def test_where_another_model_is_in_use_than_the_one_it_was_compared_with_it_is_said(self):
        used = self.model_in_use()
        self.assertNotIn("compared here", self.show(old=used).result.ui.usedLabel.text)
        label = self.show(old="old-1").result.ui.usedLabel
        self.assertIn(f"<b>{used}</b><br>It is not the one that was compared here, old-1.", label.text)

    def test_a_model_that_finds_nothing_has_its_bars_of_0_and_its_name(self):
        ui = self.show(regions={"WT": [0.0, 0.8], "TC": [0.0, 0.7]}).result.ui
        self.assertIn(f"{square(0)} old", ui.plotLabel.text)
        self.assertFalse(ui.plotView.isHidden())
        chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
        self.assertEqual(chart.GetNumberOfPlotSeriesNodes(), 2)

    def test_whoever_comes_back_to_the_tab_waits_for_no_bars_that_are_there_already(self):
        result = self.show().result
        chart = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
        result.refresh()
        self.assertIs(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode"), chart)
        slicer.mrmlScene.Clear()
        self.assertIsNot(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLPlotChartNode"), None)

    def test_a_model_that_was_compared_with_none_has_its_own_bars_alone(self):
        ui = self.show(regions={"WT": [None, 0.8]}).result.ui
        self.assertNotIn(square(0), ui.plotLabel.text)
        self.assertIn(f"{square(1)} new", ui.plotLabel.text)

    def test_notices_stand_at_the_buttons_that_they_speak_of(self):
        cases = [{"case_id": "a-1", "patient": "a", "old": {"WT": 0.5}, "new": {"WT": 0.6}}]
        ui = self.show(cases).result.ui
        ui.casesTable.selectRow(0)
        ui.openButton.click()
        self.assertIn("compare the models again", ui.casesNotice.text)
        ui.importButton.click()
        self.assertIn("No model is chosen", ui.importNotice.text)
        self.assertTrue(ui.noticeLabel.isHidden())

    def test_whoever_comes_back_to_the_tab_finds_the_case_chosen(self):
        cases = [{"case_id": f"a-{n}", "patient": f"a{n}", "old": {"WT": 0.5}, "new": {"WT": 0.6}} for n in range(3)]
        panel = self.show(cases)
        panel.showTab("Result")
        panel.result.ui.casesTable.selectRow(1)
        panel.showTab("Task")
        panel.showTab("Result")
        self.assertEqual(panel.result.ui.casesTable.selectedItems()[0].text(), "a-1")
        self.assertTrue(panel.result.ui.openButton.enabled)

    def test_errors_of_the_core_are_said_without_its_command_line(self):
        error = LibraryError(
            "/data/library: is not a training library (it has no x)", "`voxmmsd library add` makes one"
        )
        self.assertEqual(plain(error), "/data/library: is not a training library (it has no x)")
        self.assertEqual(plain(LibraryError("no new case", "name one with --case")), "no new case")
        self.assertEqual(plain(LibraryError("no t1n", "give t1n, t2f")), "no T1; give T1, FLAIR")
        self.assertEqual(plain(LibraryError("disk; full", "free some room")), "disk; full; free some room")
