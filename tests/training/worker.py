"""One worker of several, as TF_CONFIG has it; it may die before a step.

python -m tests.training.worker PREPARED FOLDER DIE_AT
"""

import os
import signal
import sys

from audio_triplet import distribution
from audio_triplet.commands import terminal
from audio_triplet.data import shard_source
from audio_triplet.training import loop
from tests.training.runs import config_of, shallow_trainer

STEPS = 12


def main(prepared: str, folder: str, die_at: int) -> None:
    strategy = distribution.build_strategy("multi_worker")
    assert distribution.workers(strategy) == strategy.num_replicas_in_sync == 2
    trainer = shallow_trainer(config_of(STEPS, checkpoint_steps=3), strategy)
    step = trainer.step

    def dying(batch):
        if trainer.steps_done == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(batch)

    if die_at:
        trainer.step = dying
    print("from step", trainer.steps_done)
    loop.run(trainer, shard_source.ShardChunks(prepared, ("train",)), folder, progress=False)
    stop = trainer.replicas.any_worker(False)
    print("done", trainer.steps_done, distribution.is_chief(strategy), stop)


if __name__ == "__main__":
    with terminal.clear_errors("worker"):
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
