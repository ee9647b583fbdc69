#!/usr/bin/env bash
# The label-efficiency experiment and the transfer to another patient group, scored on test, on a GPU that several
# trainings share. Called again, it continues.
#     for set in gli ssa unlabelled; do voxmmsd prepare ../shared/data/$set --store runs/store/$set --spacing 1.5; done
#     JOBS=6 benchmarks/evidence.sh runs
set -euo pipefail
runs=${1:-runs}
jobs=${JOBS:-6}

compare() { # EXPERIMENT RUN
  python -m voxmmsd compare "benchmarks/$1.toml" --run "$runs/$2" --jobs "$jobs" --test
}

compare label_efficiency_gli label-efficiency-gli &
gli=$!
python -m voxmmsd finetune "$runs/store/gli" --run "$runs/gli-27" --splits ../shared/data/splits-gli.json --steps 3000 \
  --region-dice 0 --validate-every 1000 --checkpoint-every 500 --threads 1
until [ -e "$runs/label-efficiency-gli/pretrain/vox-mmsd/model/model.json" ]; do
  kill -0 $gli
  sleep 1
done
compare transfer_ssa transfer-ssa
wait $gli
