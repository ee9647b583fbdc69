import json

import pytest

from voxmmsd.config import config_from_record, config_to_record, make_config
from voxmmsd.errors import ConfigError
from voxmmsd.experiment.config import ABLATIONS
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.model_config import NetworkConfig
from voxmmsd.training_config import FinetuneConfig, PretrainConfig


def test_an_option_beats_the_file_which_beats_the_preset_which_beats_the_default(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text('preset = "tiny"\nsteps = 50\nbatch = 3\n')
    config = make_config(FinetuneConfig, {"batch": 4}, file)
    assert (config.batch, config.steps, config.patch, config.seed) == (4, 50, 32, 0)


def test_a_file_may_use_the_names_of_options(tmp_path):
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"from": "starter", "modality_dropout": 0.5}))
    assert make_config(FinetuneConfig, {}, file).start == "starter"
    file.write_text(json.dumps({"brain-mask": "mask.nii.gz"}))
    assert make_config(SegmentConfig, {}, file).brain_mask == "mask.nii.gz"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"stepps": 3}, "unknown option stepps"),
        ({"steps": "many"}, "steps: expected int, got 'many'"),
        ({"steps": True}, "steps: expected int, got True"),
        ({"channels": [8, "16"]}, "channels: expected int, got '16'"),
        ({"channels": 8}, "channels: expected a list"),
        ({"device": "abacus"}, "device: 'abacus' is not one of auto, cpu"),
        ({"preset": "huge"}, "preset: 'huge' is not one of tiny"),
    ],
)
def test_a_wrong_option_is_named_with_what_it_was(record, message):
    with pytest.raises(ConfigError, match=message):
        make_config(FinetuneConfig, record)


@pytest.mark.parametrize("text", ["{", "[1]", "steps ="])
def test_a_broken_file_is_named(tmp_path, text):
    file = tmp_path / ("job.toml" if "=" in text else "job.json")
    file.write_text(text)
    with pytest.raises(ConfigError, match="job"):
        make_config(FinetuneConfig, {}, file)


def test_a_configuration_survives_json():
    config = make_config(FinetuneConfig, {"preset": "paper", "folders": ("a", "b"), "learning_rate": 1})
    assert config_from_record(FinetuneConfig, config_to_record(config)) == config
    assert config.learning_rate == 1.0


def test_dropout_is_that_of_the_paper():
    assert NetworkConfig.of((32, 64, 128, 256, 512)).dropout == (0, 0, 0.2, 0.2, 0.2)
    assert NetworkConfig.of((32, 64, 128, 256, 512)).divisor == 16
    with pytest.raises(ConfigError):
        NetworkConfig((8, 16), (0.0,))


def test_cells_must_fill_a_block():
    with pytest.raises(ConfigError, match="--block 40 is not a multiple of --mask-size 16"):
        make_config(PretrainConfig, {"block": 40})


def test_sides_that_the_network_cannot_halve_are_refused_with_the_next_one_that_it_can():
    with pytest.raises(
        ConfigError, match=r"--block 40 is not a multiple of 16, as the network of 5 levels.*--block 32"
    ):
        make_config(PretrainConfig, {"block": 40, "mask_size": 8})
    with pytest.raises(ConfigError, match=r"--patch 60 is not a multiple of 16.*give --patch 64"):
        make_config(FinetuneConfig, {"patch": 60}).check_patch()
    make_config(FinetuneConfig, {"patch": 60, "channels": (4, 8, 16)}).check_patch()


@pytest.mark.parametrize("method", ["voxel-contrast", "masked-autoencoding"])
def test_an_ablation_of_the_method_is_refused_for_the_others_which_have_no_such_part(method):
    for ablation in ABLATIONS.values():
        ((name, value),) = ablation.items()
        flag = f"--{'' if value else 'no-'}{name.replace('_', '-')}"
        with pytest.raises(ConfigError, match=f"--method {method} does not use {flag}; leave it out"):
            make_config(PretrainConfig, {"method": method, name: value})
    make_config(PretrainConfig, {"method": method, "preset": "tiny", "distillation": True, "single_scale": False})


def test_a_configuration_does_not_depend_on_what_lies_on_the_disk(tmp_path):
    given = {"folders": (str(tmp_path),), "start": "some-model"}
    before = make_config(FinetuneConfig, given)
    (tmp_path / "library.json").write_text("{}")
    assert make_config(FinetuneConfig, given) == before


def test_former_names_of_options_work_in_calls_files_and_old_runs(tmp_path):
    file = tmp_path / "old.toml"
    file.write_text('balanced = 0.5\nfree-statistics = 0.75\n"frozen" = true\n', encoding="utf-8")
    config = make_config(FinetuneConfig, {"foreground": 0.25, "keep": 5}, file)
    assert (config.class_balancing, config.freeze_batchnorm_after, config.linear_probe) == (0.5, 0.75, True)
    assert (config.oversample_foreground, config.keep_checkpoints) == (0.25, 5)
    # A preset gives way to an option under either name.
    assert make_config(FinetuneConfig, {"preset": "tiny", "balanced": 0.125}).class_balancing == 0.125
    assert make_config(PretrainConfig, {"masked": 0.5, "cell": 8, "hide_last": False}).mask_size == 8
    with pytest.raises(ConfigError, match="balanced and class_balancing are two names of one option"):
        make_config(FinetuneConfig, {"balanced": 0.5, "class_balancing": 0.5})
    with pytest.raises(ConfigError, match="unknown option balanced"):  # it is none of this verb's
        make_config(PretrainConfig, {"balanced": 0.5})
