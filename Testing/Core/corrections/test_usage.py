import json

from corrected_cases import library_of
from toy_models import relabeled_package, toy_package

from voxmmsd.cli import main
from voxmmsd.corrections.usage import learned_in
from voxmmsd.home import home


def a_run(folder, library_id, model=""):
    """A run folder as a fine-tuning on the library leaves it; ``held`` is a label of a held-out case."""
    folder.mkdir(parents=True)
    record = {"library": library_id, "labels": {"case-000": 1, "case-002": 1}, "held": ["case-002"]}
    (folder / "corrections.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "status.json").write_text(json.dumps({"verb": "finetune", "state": "paused"}), encoding="utf-8")
    if model:
        (folder / "model").mkdir()
        (folder / "model" / "model.json").write_text(json.dumps({"id": model}), encoding="utf-8")
    return folder


def test_models_of_the_registry_come_first_and_runs_whose_model_is_none_of_these_after(tmp_path):
    library, _ = library_of(tmp_path / "library")
    learned = {"library": {"id": library.id, "labels": {"case-000": 1}}}
    model = relabeled_package(toy_package(tmp_path / "toy"), tmp_path / "m", training=learned)
    runs = [
        a_run(tmp_path / "in-registry", library.id, model="toy-1"),
        a_run(tmp_path / "proposed", library.id, model="other-1"),
        a_run(tmp_path / "paused", library.id),
        a_run(tmp_path / "elsewhere", "another library"),
        tmp_path / "nothing-here",
    ]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "corrections.json").write_text("{", encoding="utf-8")
    found = learned_in(library, [model], [*runs, tmp_path / "broken"])
    assert found == {"case-000": ("toy-1", "run proposed", "run paused")}


def test_library_list_names_runs_too(tmp_path, capsys):
    library, _ = library_of(tmp_path / "library", count=1)
    a_run(home() / "runs" / "second", library.id)
    assert main(["library", "list", str(library.folder)]) == 0
    assert "run second" in capsys.readouterr().out
