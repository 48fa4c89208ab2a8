"""Fitting a classifier on labelled segments, and keeping it in a folder.

The strength of regularisation is chosen on held-out recordings. A class with one recording can be
learned, but not checked.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
import threadpoolctl

from audio_triplet import storage
from audio_triplet.classify import adaptation, by_likeness
from audio_triplet.classify.calibration import Calibration
from audio_triplet.classify.combined import CombinedClassifier
from audio_triplet.classify.examples import Examples
from audio_triplet.config import ClassifyConfig
from audio_triplet.embeddings import description
from audio_triplet.errors import ClassifierError
from audio_triplet.evaluation import probe
from audio_triplet.evaluation.shallow_network import Classifier, ClassifierConfig

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

# Weight decays of the hidden layer, tried on the held-out recordings [D].
WEIGHT_DECAYS = (0.01, 0.1, 1.0)

# Inverse strengths of the linear probe's penalty, tried likewise [D].
PENALTY = 0.1
PENALTIES = (0.01, 0.03, PENALTY, 0.3)

# On 9,600 rows of ESC-50 the accuracy after 20 iterations is that after 100, to 0.003 [D].
CHOICE_ITERATIONS = 30

_FILE = "sounds.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted classifier.

    Attributes:
      classifier: Maps embeddings to scores.
      regularised: By what and how much, in words.
    """

    classifier: CombinedClassifier
    regularised: str


def fit(examples: Examples, config: ClassifyConfig, choose: bool = True) -> Fitted:
    """Fits a classifier on all examples.

    Without a hidden layer it is the linear probe on segments' descriptions, which has one solution
    and takes a moment; on their means if no segment has two patches; and beside it, if
    `config.likeness`, the classifier by likenesses. With one it is the paper's classifier on
    patches.

    Args:
      examples: Segments of at least two classes.
      config: Settings of the fit.
      choose: Whether the strength of the penalty is chosen too.

    Returns:
      The classifier.
    """
    fitted = _fit(examples, config, choose)
    if examples.vectors.shape[1] > adaptation.MOST_DIMENSIONS:
        return fitted
    ground = adaptation.Ground.of(
        examples.vectors, examples.segment_index, examples.embeddings.energy, examples.labels
    )
    return Fitted(dataclasses.replace(fitted.classifier, ground=ground), fitted.regularised)


def _fit(examples: Examples, config: ClassifyConfig, choose: bool) -> Fitted:
    single = examples.is_single(config)
    settings = ClassifierConfig(
        hidden_units=config.hidden_units,
        seed=config.seed,
        criterion="loss",
        loss="softmax" if single else "sigmoid",
    )
    # The probe makes a softmax of whatever has one class per segment.
    if not config.hidden_units and single == (examples.labels.sum(axis=1) == 1).all():
        return _fit_linear(examples, settings, choose, config.likeness)
    from audio_triplet.evaluation import classification  # TensorFlow, which the probe needs not

    fitted = classification.fit_classifier(
        examples.vectors,
        examples.segment_index,
        examples.labels,
        examples.groups.tolist(),
        settings,
        WEIGHT_DECAYS if choose else (),
    )
    decay = fitted.config.weight_decay
    return Fitted(CombinedClassifier(fitted), f"weight decay {decay:g}, {fitted.rounds} rounds")


def _fit_linear(
    examples: Examples, settings: ClassifierConfig, choose: bool, by_likenesses: bool
) -> Fitted:
    described = len(examples.vectors) > len(examples)
    with_likeness = by_likenesses and examples.vectors.shape[1] <= by_likeness.MOST_DIMENSIONS
    if described:
        given = description.to_learn_from(
            examples.vectors,
            examples.segment_index,
            len(examples),
            examples.embeddings.energy,
            # [D] Beside likenesses, which count by loudness, what counts all alike says more.
            by_loudness=not with_likeness,
        )
    else:
        every = np.arange(len(examples))
        means = examples.embeddings.segment_means
        given = description.ToLearnFrom(means, every, np.ones(len(every)), every >= 0)
    # The matrices are small: a second thread would wait more than it works.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few labels per class are intended
        found = probe.fit_probe(
            given.rows,
            examples.labels[given.owner],
            examples.groups[given.owner].tolist(),
            probe.ProbeConfig(
                PENALTIES if choose else (PENALTY,),
                choice_iterations=CHOICE_ITERATIONS,
                seed=settings.seed,
            ),
            judged=given.judged,
            weights=given.weights,
        )
    # A class without a segment has minus infinity: its score is 0 either way.
    arrays = (found.mean, found.scale, found.weights, np.clip(found.bias, -30, 30))
    mean, scale, weights, bias = (array.astype(np.float32) for array in arrays)
    settings = dataclasses.replace(settings, described=described, by_loudness=not with_likeness)
    fitted = Classifier(settings, mean, scale, (weights, bias), rounds=0)
    regularised = f"L2 penalty of inverse strength {found.penalty:g}"
    if not with_likeness:
        return Fitted(CombinedClassifier(fitted), regularised)
    likeness = by_likeness.fit(
        examples.vectors,
        examples.segment_index,
        examples.embeddings.energy,
        examples.labels,
        settings.loss == "softmax",
        settings.seed,
    )
    return Fitted(CombinedClassifier(fitted, likeness), regularised)


def predict(fitted: Fitted, examples: Examples) -> np.ndarray:
    """Scores of the examples: float32[segments, classes]."""
    return fitted.classifier.predict_segments(
        examples.vectors,
        examples.segment_index,
        len(examples),
        energy=examples.embeddings.energy,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class SoundClassifier:
    """A fitted classifier, and which embeddings it is for.

    Attributes:
      classes: Names of the labels.
      classifier: Maps embeddings to scores.
      model_digest: `saved_model.Model.digest` of the model whose embeddings it was fitted on.
      metadata: How it was fitted, on which sound, and its scores.
    """

    classes: tuple[str, ...]
    classifier: CombinedClassifier
    model_digest: str
    metadata: dict = dataclasses.field(default_factory=dict)

    def calibration(self, granularity: str) -> Calibration | None:
        """What its scores mean; None if it was fitted before 0.3, or could not be checked.

        Args:
          granularity: Of the scores, `patch` or `segment`.

        Raises:
          ClassifierError: It is damaged.
        """
        content = (self.metadata.get("calibration") or {}).get(granularity)
        if content is None:
            return None
        try:
            found = Calibration.of_json(content)
            if len(found.calibrators) != len(self.classes):
                raise ValueError("classes and thresholds differ in number")
        except (KeyError, TypeError, ValueError) as error:
            raise ClassifierError(
                f"{_FILE}: what scores mean is damaged ({error}); fit again"
            ) from error
        return found

    def check_model(self, model: Embedder) -> None:
        """Refuses the embeddings of another model.

        Raises:
          ClassifierError: `model` is not the one it was fitted on.
        """
        if model.digest != self.model_digest:
            raise ClassifierError(
                f"{model.path}: is not the model that the classifier was fitted on "
                f"({self.metadata.get('model', 'unknown')}); give that one, or fit again"
            )

    def save(self, folder: str) -> None:
        """Writes it into a folder of its own, whole or not at all, without a pickle."""
        content = {"classes": self.classes, "model_digest": self.model_digest} | self.metadata
        with storage.replacing(folder) as temporary:
            self.classifier.save(temporary)
            storage.write_json(os.path.join(temporary, _FILE), content)

    @classmethod
    def load(cls, folder: str) -> SoundClassifier:
        """Reads what `save` wrote.

        Raises:
          ClassifierError: It is missing or damaged.
        """
        path = os.path.join(folder, _FILE)
        try:
            content = storage.read_json(path)
            classes, digest = tuple(content.pop("classes")), content.pop("model_digest")
            fitted = CombinedClassifier.load(folder)
            if fitted.classes != len(classes):
                raise ValueError("classes and weights differ in number")
        except FileNotFoundError as error:
            raise ClassifierError(
                f"{path}: no such file; give the folder `classifier` that fit wrote"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ClassifierError(f"{path}: is damaged ({error}); fit again") from error
        return cls(classes, fitted, digest, content)
