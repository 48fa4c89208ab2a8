"""Package definition; the only place that names dependencies."""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "audio_triplet/__init__.py").read_text(), re.MULTILINE
)[1]

# The released model; in a clone it is below models/, in a wheel it lies inside the package, where
# `audio_triplet.embeddings.saved_model.released_model_path` finds it.
RELEASED = "debian-sounds"

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
    # Queries without TensorFlow; 1.4 is the oldest that was tried. There are no newer wheels for
    # Macs with Intel processors: TensorFlow serves there.
    "ai-edge-litert>=1.4; sys_platform != 'darwin' or platform_machine == 'arm64'",
    # Embeds many patches; 3.6 is the oldest that was tried. Elsewhere LiteRT does.
    "MNN>=3.6; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "charset-normalizer>=3.3",  # tables that spreadsheets saved in a code page or in UTF-16
    "numba>=0.59",  # loops over all pairs; resampy brings it anyway
    "resampy>=0.4.3",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "soundfile>=0.13",
    "av>=18",  # FFmpeg: M4A, AAC, WMA, WebM and whatever else libsndfile does not read
    "soxr>=0.5",
    "tqdm>=4.66",
    "jinja2>=3.1",  # templates of the pages
    "python-multipart>=0.0.34",  # sounds that are sent to browse
    "starlette>=1.10",  # browse; from the version that is tested
    "uvicorn>=0.54",  # browse; likewise
    "matplotlib>=3.8",
    "pillow>=10",
    "threadpoolctl>=3",
    "tensorboard>=2.16",
]

# The documentation as a site. mkdocs 2 does without plugins.
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings-python>=1.12"]

# Writes a training step as StableHLO. The newest that takes TensorFlow 2.17's ml-dtypes; what runs
# the step elsewhere needs no TensorFlow and may be newer.
PJRT = ["jax>=0.5.3,<0.6", "jaxlib>=0.5.3,<0.6"]

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
    "pjrt": PJRT,
    # What `experiments.peers` needs for aisfx, whose own pins are older: install that without them.
    "peers": ["librosa>=0.10.2", "torch>=2.2"],
    "parquet": ["pyarrow>=15"],
    "search": ["faiss-cpu>=1.8"],  # for indices beyond a million vectors
    # Indices at s3://… and gs://…; from these versions on S3's conditional puts pass through.
    "store": ["fsspec>=2025.2", "s3fs>=2025.2", "gcsfs>=2025.2"],
    # Preparing on all cores or on a cluster.
    "beam": ["apache-beam>=2.60"],
    # Beam's DaskRunner; from the versions that Beam itself asks for.
    "dask": ["apache-beam>=2.60", "dask>=2024.4.2", "distributed>=2024.4.2"],
    "docs": DOCS,
    "dev": [
        *DOCS,
        *PJRT,
        "apache-beam>=2.60",
        # Pages in a browser, and their accessibility; needs a Chromium too, see `make browser`.
        "axe-playwright-python>=0.1.4",
        "playwright>=1.45",
        "dask>=2024.4.2",  # preparing, embedding and indexing by Dask workers
        "distributed>=2024.4.2",
        "crowsetta>=5.1",  # another reader of the Raven and Audacity tables that are written
        "faiss-cpu>=1.8",
        # A server that speaks S3's protocol, for indices in object stores.
        "flask>=3",
        "flask-cors>=4",
        "fsspec>=2025.2",
        "moto[s3]>=5",
        "s3fs>=2025.2",
        "httpx2>=2",  # starlette's test client
        "hypothesis>=6.100",
        "import-linter>=2.6",
        "mypy>=1.13",
        # The notebooks are executed in the tests.
        "ipykernel>=6.29",
        "nbclient>=0.10",
        "pyarrow>=15",
        "pytest>=8",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        # Builds the wheel in a test. TensorBoard still needs pkg_resources, gone from 82 on.
        "setuptools>=70.1,<82",
    ],
}


class BuildWithModel(build_py):
    """Puts the released model into the package that is built; the repository has it once."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for source, target in self._model_files():
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode=True):
        return [
            *super().get_outputs(include_bytecode),
            *(target for _, target in self._model_files()),
        ]

    def _model_files(self):
        """(file in the clone, file in what is built) of the released model."""
        folder = ROOT / "models" / RELEASED
        target = os.path.join(self.build_lib, "audio_triplet", "released", RELEASED)
        return [
            (str(path), os.path.join(target, str(path.relative_to(folder))))
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]


setup(
    name="audio_triplet",
    version=VERSION,
    description="Unsupervised semantic audio representations from triplets (Jansen et al. 2018)",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["audio_triplet", "audio_triplet.*"]),
    package_data={"": ["py.typed", "**/*.csv", "**/*.html", "**/*.css", "**/*.js"]},
    cmdclass={"build_py": BuildWithModel},
    install_requires=INSTALL,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "audio-triplet=audio_triplet.commands.main:run",
        ]
    },
)
