#!/usr/bin/env bash
# Trains the candidates of the starter model and judges their recipes by cross-validation. Called again, it continues.
#     for set in gli ssa; do voxmmsd prepare ../shared/data/$set --store runs/store/$set --spacing 1.5; done
#     START=MODEL STEPS=4000 JOBS=3 benchmarks/starter.sh runs
# START is the model that is taught further (default: from scratch). All training and validation patients train, but one
# of each group, which is looked at once, at the end: nothing is chosen by it. BANK is a file of tumors for the
# candidates and recipes that paste (default: ../shared/data/tumor_bank.npz; CANDIDATES names the candidates to train).
# `dropout` is the one that finds the core without contrast-enhanced T1 (docs/starter-model.md).
set -euo pipefail
runs=${1:-runs}
start=${START:+--from "$START"}
steps=${STEPS:-4000}
bank=${BANK:-../shared/data/tumor_bank.npz}
splits=$runs/starter-splits.json

python - "$splits" <<'SPLITS'
import json, sys
parts = json.load(open("../shared/data/splits.json"))
looked_at = ["BraTS2021_01481", "BraTS-SSA-00050-000"]
train = [case for case in parts["pool"] + parts["validation"] if case not in looked_at]
json.dump({"train": train, "validation": looked_at, "test": parts["test"]}, open(sys.argv[1], "w"))
SPLITS

teach() { # NAME OPTIONS...: one candidate
  local name=$1
  shift
  [[ " ${CANDIDATES:-plain regions dropout intensity paste} " == *" $name "* ]] || return 0
  # shellcheck disable=SC2086
  python -m voxmmsd finetune "$runs/store/gli" "$runs/store/ssa" --run "$runs/starter-$name" $start --splits "$splits" \
    --target-schema brats-2021 --patch 96 --modality-dropout 0.3 --learning-rate 0.0005 --class-balancing 0 --steps "$steps" \
    --validate-every "$steps" --checkpoint-every 500 --threads 1 --name starter --ema-decay 0.999 --region-dice 0 "$@"
}

teach plain &
teach regions --region-dice 1 --transforms non-enhancing:p=0.25 &
teach shape --transforms axis-scaling elastic &
teach dropout --modality-dropout 0.7 --region-dice 1 &
teach intensity --transforms low-resolution bias-field modality-contrast &
teach paste --tumor-bank "$bank" --transforms paste:p=0.3 non-enhancing:p=0.15 &
wait
python benchmarks/cross_validate.py benchmarks/recipes.toml --run "$runs/recipes" --jobs "${JOBS:-3}"
