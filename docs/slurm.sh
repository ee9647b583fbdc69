#!/bin/bash
# Pre-training on a Slurm cluster, longer than the time limit of a job: it saves before the limit, requeues itself and
# resumes exactly. Replace the words in capitals, then run: sbatch docs/slurm.sh
#SBATCH --job-name=voxmmsd
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:4
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=voxmmsd-%j.log
#SBATCH --signal=B:USR1@180

RUN=/SHARED/runs/glioma
export OMP_NUM_THREADS=4
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # not inherited by srun

srun torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=4 --max-restarts=3 \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$(hostname):29500" \
    -m voxmmsd pretrain /SHARED/STORE --run "$RUN" --preset paper &
job=$!

# Three minutes before the time limit: ask the run to pause, then requeue in any case; the newest checkpoint is used.
requeue() {
    timeout 150 voxmmsd runs pause "$RUN" --wait 140
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap requeue USR1
wait "$job"
