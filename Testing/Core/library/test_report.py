import re
from dataclasses import dataclass, field

from corrected_cases import SCHEMA, label_of, library_of, moved

from voxmmsd.corrections.usage import used_in
from voxmmsd.library import create_library
from voxmmsd.library.report import cases_report
from voxmmsd.models.provenance import Provenance


@dataclass
class Info:
    id: str
    training: dict = field(default_factory=dict)

    @property
    def provenance(self):
        return Provenance.of(self.training)


@dataclass
class Package:
    info: Info


def test_the_table_shows_state_changes_and_the_models_that_learned_a_case(tmp_path):
    library, made = library_of(tmp_path / "library", 3)
    truth = label_of(made["case-000"])
    library.add_prediction("case-000", moved(truth), SCHEMA, "m-1")
    library.add_prediction("case-001", moved(truth), SCHEMA, "m-1")
    version = library.accept("case-000", truth, SCHEMA)
    packages = [
        Package(Info("m-1")),
        Package(Info("m-2", {"library": {"id": library.id, "labels": {"case-000": 2}}})),
        Package(Info("m-3", {"library": {"id": "another", "labels": {"case-001": 1}}})),
    ]
    used = used_in(packages, library)
    assert used == {"case-000": ("m-2",)}
    summary, _, first, second, third = cases_report(library, used).splitlines()
    assert summary.endswith("3 cases, 1 with an accepted label, 0 held out")
    assert first.split()[0] == "case-000"
    told = [
        "training",
        "accepted",
        "t1n, t1c, t2w, t2f",
        "0002-corrected",
        str(version.changed_voxel_count),
        "m-1",
        "m-2",
    ]
    assert re.split(r"\s{2,}", first)[2:] == told
    assert "predicted" in second
    assert "unlabeled" in third


def test_an_empty_library_says_how_it_is_filled(tmp_path):
    assert "library add" in cases_report(create_library(tmp_path / "library"), {})
