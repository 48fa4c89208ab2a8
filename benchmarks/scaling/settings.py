"""The extent of the measurements, and numbers that the parts share."""

import dataclasses

CLIP_SECONDS, CLIP_RATE = 10, 44_100
AUDIOSET_CLIPS = 2_000_000
PARTS = ("one_core", "preparing", "kills", "shards", "losses", "manifest")

# All parts of results/scaling.md: ours, those of `benchmarks.cluster`, that of `benchmarks.stores`.
CLUSTER_PARTS = ("cluster", "cluster_faults", "cluster_training", "growth")
ALL_PARTS = (*PARTS, *CLUSTER_PARTS, "stores")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The extent of the measurements. Every field has a flag.

    Attributes:
      clips: Clips to prepare.
      few_clips: Clips for measurements that need only a few.
      kills: Kills of a process.
      beam_kills: Kills of a Beam pipeline.
      beam_kill_seconds: Latest moment of such a kill.
      rows: Rows of the large manifest.
      steps: Training steps whose losses are compared.
      width: Width of the encoder whose step reading is compared with.
      parts: Parts to measure, of one_core, preparing, kills, shards, losses, manifest.
      seed: Seed of the clips and of the kills.
      work_dir: Folder for the clips (1 MB each).
    """

    clips: int = 10_000
    few_clips: int = 300
    kills: int = 20
    beam_kills: int = 4
    beam_kill_seconds: float = 20.0
    rows: int = AUDIOSET_CLIPS
    steps: int = 20
    width: float = 1.0
    parts: tuple[str, ...] = PARTS
    seed: int = 0
    work_dir: str = ""
