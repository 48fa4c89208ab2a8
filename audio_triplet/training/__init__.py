"""Training: batches of triplets → an encoder.

In: a source of chunks and a `RunConfig`. Out: a folder with config.json, checkpoints, metrics.csv
and TensorBoard events, from which a run continues. In reading order:

| file | what |
|---|---|
| `trainer` | encoder and optimizer, and the step that trains them |
| `memory` | embeddings of earlier anchors as further negatives [D] |
| `replicas` | what replicas and workers exchange |
| `feeds` | batches from the pipeline on the host, or made by the device |
| `initial` | the weights of an earlier export, to fine-tune |
| `loop` | steps until the end: logs, checkpoints, signals |
| `cadence` | which steps are logged and saved, and how fast they are |
| `progress` | the bar, or lines where there is no terminal |
| `checkpoints` | kept whole, restored from the newest that can be read |
| `metrics_log` | metrics.csv, TensorBoard, the warning of a collapse |
| `step_program` | the step as one XLA program |
| `pjrt_runner` | runs that by jax alone; imports nothing of ours |

The step counter is the optimizer's, and batches are a function of the step's number: continuing a
run needs nothing but the checkpoint.
"""
