"""Package definition; the only place that names dependencies."""

from pathlib import Path

from setuptools import find_packages, setup

INSTALL = [
    # tensorflow-io 0.37.1, the newest, has working native ops under TensorFlow 2.16 and 2.17
    # only: under 2.18 and later it imports and then fails in every op. Python 3.13 has no
    # TensorFlow that old, so there the newest one is taken and soundfile decodes.
    'tensorflow>=2.16,<2.18; python_version < "3.13"',
    'tensorflow-io>=0.37.1; python_version < "3.13"',
    'tensorflow>=2.21; python_version >= "3.13"',
    "keras>=3.4",
    # TensorFlow up to 2.17 needs numpy < 2, pandas from 3.1 on needs numpy >= 2.0.2: without
    # these two bounds a later `pip install -U pandas` breaks TensorFlow.
    'numpy>=1.26,<2; python_version < "3.13"',
    'pandas>=2.2,<3.1; python_version < "3.13"',
    'numpy>=2.1; python_version >= "3.13"',
    'pandas>=2.2; python_version >= "3.13"',
    "absl-py>=2.1",
    "resampy>=0.4.3",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "soundfile>=0.13",
    "soxr>=0.5",
    "tqdm>=4.66",
    "matplotlib>=3.8",
    "pillow>=10",
    "threadpoolctl>=3",
    "tensorboard>=2.16",
]

EXTRAS = {
    # onnx 1.19 needs a newer ml-dtypes than TensorFlow 2.17 takes.
    "onnx": [
        "tf2onnx>=1.17",
        'onnx>=1.17,<1.19; python_version < "3.13"',
        'onnx>=1.17; python_version >= "3.13"',
        "onnxruntime>=1.18",
    ],
    # Checks audio_triplet.hear against the published rules (it imports PyTorch too).
    "hear": ["hearvalidator>=2021.0.2", "torch>=2.2"],
    # What benchmarks compare with; each is optional, absent ones are named as skipped.
    "bench": [
        "faiss-cpu>=1.8",
        "kaldi-native-fbank>=1.19",
        "librosa>=0.10.2",
        "torch>=2.4",
    ],
    "parquet": ["pyarrow>=15"],
    "search": ["faiss-cpu>=1.8"],  # for indices beyond a million vectors
    # Preparing on all cores or on a cluster.
    "beam": ["apache-beam>=2.60"],
    "dev": [
        "apache-beam>=2.60",
        "faiss-cpu>=1.8",
        "hypothesis>=6.100",
        "ipykernel>=6.29",  # with nbclient: the notebooks are executed in the tests
        "nbclient>=0.10",
        "pyarrow>=15",
        "pytest>=8",
        "ruff>=0.6",
    ],
}

setup(
    name="audio_triplet",
    version="0.1.0",
    description="Unsupervised semantic audio representations from triplets (Jansen et al. 2018)",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    if Path(__file__).with_name("README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["audio_triplet*"]),
    package_data={"audio_triplet.corpora.debian_sounds": ["*.csv"]},
    install_requires=INSTALL,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "audio-triplet=audio_triplet.commands.main:run",
        ]
    },
)
