"""The extent of the measurements."""

import dataclasses

from benchmarks.scaling.settings import CLUSTER_PARTS as PARTS


@dataclasses.dataclass(frozen=True)
class Settings:
    """The extent of the measurements. Every field has a flag.

    Attributes:
      esc50: The first corpus of clips.
      debian: The second one.
      clips: Clips that are prepared, embedded and indexed, two thirds of them of the first corpus.
      few_clips: Clips of each run that is disturbed.
      times: Disturbances of each kind.
      job_seconds: Least seconds of sound in a job of a disturbed run, so that it has several.
      cut_seconds: For how long a link is cut.
      rows: Rows of the manifests whose memory is measured.
      parts: Parts to measure, of cluster, cluster_faults, cluster_training, growth.
      seed: Seed of the moments.
      work_dir: Folder that the hosts share; by default a temporary one.
    """

    esc50: str = ""
    debian: str = ""
    clips: int = 3_000
    few_clips: int = 30
    times: int = 10
    job_seconds: float = 10.0
    cut_seconds: float = 30.0
    rows: tuple[str, ...] = ("10000", "100000", "1000000")
    parts: tuple[str, ...] = PARTS
    seed: int = 0
    work_dir: str = ""
