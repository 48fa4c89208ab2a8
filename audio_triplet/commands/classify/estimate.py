"""Estimates the share of an archive's moments that are of a class, from a few you listen to.

    audio-triplet classify predict SOUND --classifier=mine/classifier --output_dir=mine
    audio-triplet classify estimate --predictions=mine/predictions.csv --label=dog --output_dir=dogs

The first call draws moments of all scores and writes listen.csv and listen.html. Fill in the column
`answer` (yes, no, ?), or save answers.csv on the page and give it as --answers: the same call then
says the share, with a 95 % interval. --more=20 draws further moments where they narrow it the most.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet import locks, storage
from audio_triplet.commands import table_flags
from audio_triplet.errors import ManifestError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.classify.estimate import Estimate, Strata
    from audio_triplet.classify.listening import Asked
    from audio_triplet.classify.predictions import Predictions

_STATE, _TABLE, _PAGE = "estimate.json", "listen.csv", "listen.html"

# How near a start has to be that came back from another program, seconds.
_NEAR = 0.02


@dataclasses.dataclass(frozen=True)
class Settings:
    """How moments are drawn.

    Attributes:
      count: How many at first.
      strata: Parts that the scores are divided into, at most.
      level: How often the interval covers the truth.
      seed: Of the lots.
    """

    count: int = 100
    strata: int = 8
    level: float = 0.95
    seed: int = 0


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string(
        "predictions", None, "The predictions.csv that predict wrote.", required=True
    )
    flags.DEFINE_string("label", None, "The class.", required=True)
    flags.DEFINE_string("output_dir", None, "Output folder, one for each class.", required=True)
    flags.DEFINE_multi_string(
        "answers",
        [],
        "Tables with answers besides listen.csv: answers.csv of the page, or a table of --form in "
        "which each label is yes, no or the class. May be repeated.",
    )
    flags.DEFINE_integer("count", 100, "How many moments to draw at first.", lower_bound=1)
    flags.DEFINE_integer(
        "more", 0, "Draw so many further moments, where they narrow the interval.", lower_bound=0
    )
    flags.DEFINE_integer(
        "strata", 8, "Parts that the scores are divided into, at most.", lower_bound=1
    )
    flags.DEFINE_float("level", 0.95, "How often the interval covers the truth.", 0.5, 0.999)
    flags.DEFINE_integer("seed", 0, "Seed of the lots.")
    flags.DEFINE_boolean("page", True, "Write listen.html too.")
    table_flags.define_flags()


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    values = flags.FLAGS
    if argv[1:]:
        raise UsageError(f"{argv[1]}: estimate takes no sound; name its --predictions")
    with locks.exclusive(values.output_dir):
        locks.clear_leftovers(values.output_dir)
        print(
            estimate(
                values.predictions,
                values.label,
                values.output_dir,
                Settings(values.count, values.strata, values.level, values.seed),
                values.answers,
                values.more,
                values.page,
                values.form,
            )
        )


def estimate(
    predictions_path: str,
    label: str,
    output_dir: str,
    settings: Settings,
    answer_files: Sequence[str] = (),
    more: int = 0,
    page: bool = True,
    forms: Sequence[str] = (),
) -> str:
    """Draws moments to listen to, or says the share by the answers that are there.

    Args:
      predictions_path: A predictions.csv.
      label: The class.
      output_dir: Where listen.csv, listen.html and estimate.json are, or go.
      settings: How moments are drawn; those of the first call hold for the later ones.
      answer_files: Tables with answers, besides listen.csv.
      more: How many further moments to draw.
      page: Whether to write the page.
      forms: Forms of tables to write too (`table_flags.NAMES`), without labels, to fill in.

    Returns:
      Lines for the user.

    Raises:
      UsageError: The folder is that of another estimate.
      ManifestError: A table cannot be read.
    """
    import numpy as np

    from audio_triplet.classify import estimate as method
    from audio_triplet.classify import listening, predictions
    from audio_triplet.provenance import provenance

    known = predictions.read(predictions_path)
    scores = known.scores[:, known.column(label)]
    state = {
        "label": label,
        "asked_strata": settings.strata,
        "seed": settings.seed,
        "predictions_digest": _digest(known, scores),
    }
    strata = method.stratify(scores, settings.strata, settings.seed)
    path = os.path.join(output_dir, _TABLE)
    drawn = _drawn_before(output_dir, state)
    is_first = drawn is None
    if drawn is None:
        drawn = method.spread_evenly(strata.sizes, settings.count)
    allowed = {int(m): s for s, n in enumerate(drawn) for m in strata.members[s][:n]}
    answers: dict[int, str] = {}
    own = [path] if os.path.exists(path) and not is_first else []
    for file in [*own, *answer_files]:
        for moment, answer in _answers_of(file, known, label, allowed).items():
            if moment not in allowed:
                raise ManifestError(f"{file}: moment {moment} was not drawn; leave that column")
            if answer:
                answers[moment] = answer
    answered, yes = _counts(strata, answers, allowed)
    if more:
        drawn = drawn + method.allocate(strata.sizes, drawn, answered, yes, more)
    asked = _asked(known, scores, strata, drawn, answers)
    found = method.estimate(strata.sizes, answered, yes, settings.level, settings.seed)
    unsure = sum(answer == "?" for answer in answers.values())
    told = _summary(label, found, unsure, sum(not row.answer for row in asked))
    storage.make_folder(output_dir)
    storage.write_text(path, listening.text_of(asked))
    state |= {
        "predictions": os.path.abspath(predictions_path),
        "drawn": np.asarray(drawn).tolist(),
        "unsure": unsure,
        **dataclasses.asdict(found),
        **provenance(),
    }
    storage.write_json(os.path.join(output_dir, _STATE), state)
    waiting = [row for row in asked if not row.answer]
    told += _written(output_dir, label, waiting, told, page, forms)
    return "\n".join(told)


def _digest(known: Predictions, scores: np.ndarray) -> str:
    """A hash of the moments and their scores: with others, what was drawn means nothing."""
    made = hashlib.sha256("\n".join(known.paths).encode("utf-8", "surrogateescape"))
    made.update(known.starts.tobytes())
    made.update(scores.tobytes())
    return made.hexdigest()[:16]


def _drawn_before(output_dir: str, state: dict) -> np.ndarray | None:
    """How many of each stratum an earlier call drew; None if this is the first."""
    import numpy as np

    path = os.path.join(output_dir, _STATE)
    if not os.path.exists(path):
        return None
    try:
        earlier = storage.read_json(path)
        drawn = np.array(earlier["drawn"], int)
        differing = [name for name in state if earlier[name] != state[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: is damaged ({error}); use another --output_dir") from error
    if differing:
        words = {"predictions_digest": "predictions", "asked_strata": "strata"}
        raise UsageError(
            f"{output_dir}: holds an estimate that differs in "
            f"{', '.join(words.get(name, name) for name in differing)}; use another --output_dir"
        )
    return drawn


def _answers_of(
    file: str, known: Predictions, label: str, allowed: dict[int, int]
) -> dict[int, str]:
    """Answers in a table of this verb, or of an annotation program."""
    from audio_triplet.annotations import reading
    from audio_triplet.classify import listening

    if listening.is_listening(file):
        return listening.read_answers(file)
    starts: dict[str, list[tuple[float, int]]] = {}
    for moment in allowed:
        path = os.path.realpath(known.paths[moment])
        starts.setdefault(path, []).append((float(known.starts[moment]), moment))
    answers: dict[int, str] = {}
    for row in reading.read_moments(file):
        answer = "yes" if row.label == label else listening.answer_of(row.label)
        if answer is None:
            raise ManifestError(f"{file}: label {row.label!r}; write yes, no, ?, or {label}")
        near = [
            moment
            for start, moment in starts.get(os.path.realpath(row.path), [])
            if abs(start - row.start_seconds) <= _NEAR
        ]
        if not near:
            raise ManifestError(
                f"{file}: {row.path} at {row.start_seconds:g} s was not drawn; keep the moments "
                "as they were written"
            )
        if answer:
            answers[near[0]] = answer
    return answers


def _counts(
    strata: Strata, answers: dict[int, str], allowed: dict[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """int[strata] twice: moments with a yes or no, and those with a yes."""
    import numpy as np

    answered, yes = (np.zeros(len(strata.members), int) for _ in range(2))
    for moment, answer in answers.items():
        answered[allowed[moment]] += answer in ("yes", "no")
        yes[allowed[moment]] += answer == "yes"
    return answered, yes


def _asked(
    known: Predictions,
    scores: np.ndarray,
    strata: Strata,
    drawn: np.ndarray,
    answers: dict[int, str],
) -> list[Asked]:
    """Rows of listen.csv: strata take turns, so that whoever stops early has heard of each."""
    from audio_triplet.classify.listening import Asked

    turns = sorted((turn, stratum) for stratum, n in enumerate(drawn) for turn in range(n))
    rows = []
    for turn, stratum in turns:
        moment = int(strata.members[stratum][turn])
        rows.append(
            Asked(
                moment,
                str(known.paths[moment]),
                float(known.starts[moment]),
                float(known.ends[moment]),
                float(scores[moment]),
                stratum + 1,
                answers.get(moment, ""),
            )
        )
    return rows


def _summary(label: str, found: Estimate, unsure: int, waiting: int) -> list[str]:
    """What is known so far."""
    low, high = (100 * limit for limit in found.interval)
    if not found.answered:
        return [f"{waiting} of {found.moments:,} moments to listen to, for {label}"]
    known = f"{100 * found.share:.2f} %" if found.share is not None else "not all parts are heard"
    lines = [
        f"{label}: {known} of {found.moments:,} moments ({100 * found.level:g} %: {low:.2f} to "
        f"{high:.2f} %), that is {found.interval.low * found.moments:,.0f} to "
        f"{found.interval.high * found.moments:,.0f} moments, by {found.answered} answers"
    ]
    for number, stratum in enumerate(found.strata, 1):
        lines.append(
            f"  stratum {number}: {stratum.moments:,} moments, {stratum.yes} of "
            f"{stratum.answered} heard are {label}"
        )
    if unsure:
        lines.append(f"{unsure} answers are ?: left out, as if they were like the others")
    if waiting:
        lines.append(f"{waiting} of those drawn are not answered yet")
    if found.listen_next is not None:
        lines.append(
            f"stratum {found.listen_next + 1} would narrow the interval most; --more=20 draws "
            "further moments where they are worth most"
        )
    return lines


def _written(
    output_dir: str,
    label: str,
    waiting: Sequence[Asked],
    told: Sequence[str],
    page: bool,
    forms: Sequence[str],
) -> list[str]:
    """Writes the page and the tables to fill in; returns lines for the user."""
    from audio_triplet.annotations.moments import Moment

    lines = []
    if page:
        from audio_triplet.web import listen_page

        target = os.path.join(output_dir, _PAGE)
        listen_page.write_listening(target, label, waiting, told)
        if waiting:
            lines.append(f"listen on {target}, and give the saved file as --answers;")
    if waiting:
        lines.append(f"or fill the column `answer` of {os.path.join(output_dir, _TABLE)}")
        moments = [
            Moment(row.path, row.start_seconds, row.end_seconds, score=row.score) for row in waiting
        ]
        lines += table_flags.write(forms, output_dir, "listen", moments)
    return lines
