"""The promises, and the test of each."""

from benchmarks.faults.bench import Part
from benchmarks.faults.damaged_sound import corrupt_audio, corrupt_corpus
from benchmarks.faults.long_runs import quick_tests, soaked
from benchmarks.faults.positions import compared
from benchmarks.faults.starved import starved
from benchmarks.faults.stopped import interrupted, killed, raced

PARTS = (
    Part(
        "corrupt_audio",
        "A damaged sound file gives finite samples or one line that names it: no crash, no hang "
        "over 10 s, no NaN, not more than 512 MB; three pieces are what the whole has there",
        "tests/robustness/test_corrupt_audio.py",
        10_000,
        corrupt_audio,
    ),
    Part(
        "pieces",
        "Three pieces at random places of each file of a corpus are what the whole has there: "
        "benchmarks.pieces",
        "tests/benchmarks/test_pieces.py",
        1_000_000,
        compared,
    ),
    Part(
        "corrupt_corpus",
        "Training and export go on over damaged files, with finite losses, and list them",
        "tests/robustness/test_corrupt_audio.py",
        10,
        corrupt_corpus,
    ),
    *(
        Part(
            f"kill_{name}",
            f"{name.capitalize()} killed by -9 at random moments ends with the same bits as an "
            "undisturbed run, and leaves no half-written file",
            quick,
            trials,
            killed(name),
        )
        for name, trials, quick in (
            ("training", 25, "tests/training/test_interrupted.py"),
            ("preparing", 20, "tests/data_prep/test_preparation.py"),
            ("table", 15, "tests/experiments/test_table1.py"),
            ("embedding", 15, "tests/embeddings/test_embed.py"),
            ("indexing", 15, "tests/search/test_index.py"),
        )
    ),
    Part(
        "interrupt",
        "Ctrl-C and SIGTERM save, say how to continue, end within 30 s; a second one ends at once",
        "tests/commands/test_terminal.py, tests/training/test_interrupted.py",
        16,
        interrupted,
    ),
    Part(
        "disk",
        "A disk that is full or read-only, a folder that vanishes or is not permitted: one line "
        "that says so; what was good stays, and the same command continues when it can",
        "tests/robustness/test_disk.py",
        20,
        starved("full", "read-only", "vanished", "not permitted"),
    ),
    Part(
        "quota",
        "A quota that is used up: one line that says so; what was good stays, and the same command "
        "continues when it is raised",
        "tests/robustness/test_disk.py",
        10,
        starved("over quota"),
    ),
    Part(
        "race",
        "Of two processes that write the same folder one wins, and the other says so",
        "tests/test_locks.py, tests/robustness/test_concurrency.py",
        8,
        raced,
    ),
    *(
        Part(
            f"soak_{name}",
            f"In {minutes} minutes of {name}, after a third to warm up, memory grows by less than "
            "1 MB per minute; open files, threads and pace stay",
            "tests/benchmarks/test_soak.py",
            1,
            soaked(name, minutes),
        )
        for name, minutes in (("training", 120), ("embedding", 60))
    ),
    Part(
        "artefacts",
        "Damaged shards, checkpoints, models, configurations and manifests are named, never "
        "silently used; nothing is unpickled, nothing is written outside its folder",
        "tests/robustness/test_artefacts.py",
        1,
        quick_tests("tests/robustness/test_artefacts.py"),
    ),
    Part(
        "numerics",
        "Silence, clipping, DC, impulses, denormals and 1e±30 give finite losses and unit vectors; "
        "bfloat16 stays near float32; batches without negatives have finite gradients",
        "tests/robustness/test_numerics.py",
        1,
        quick_tests("tests/robustness/test_numerics.py"),
    ),
    Part(
        "determinism",
        "The same seed on the same machine gives the same bits; threads and replicas a bound",
        "tests/robustness/test_determinism.py",
        1,
        quick_tests("tests/robustness/test_determinism.py"),
    ),
)
