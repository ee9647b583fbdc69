"""A model's record, for tests in which nobody needs the model itself."""

from dataclasses import asdict

from voxmmsd.files import write_json_atomic
from voxmmsd.labels import MODALITIES
from voxmmsd.model_config import NetworkConfig, PreprocessConfig
from voxmmsd.models.package import FORMAT, ModelInfo


def model_record(model_id, schema="brats-gli-2023"):
    """The record of a package, as far as the panel reads it."""
    info = ModelInfo(
        id=model_id, name=model_id, version="0.1", parent=None, created="", network=NetworkConfig(), schema=schema,
        modalities=MODALITIES, preprocess=PreprocessConfig(), window=64, training={}, scores={}, licence="", limits="",
        files={},
    )  # fmt: skip
    return {"format": FORMAT, **asdict(info)}


def write_model_record(run, model_id):
    write_json_atomic(run / "model" / "model.json", model_record(model_id))
