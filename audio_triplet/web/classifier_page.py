"""The two pages of a classifier: what it is worth, and what to label next.

Both are self-contained files in the design of `pages`: they need no network, and everything on them
can be reached with the keyboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from audio_triplet.web import charts, formatting, pages
from audio_triplet.web.charts import Line
from audio_triplet.web.clips import EXCERPT_SECONDS, Clips, Excerpt, Quality
from audio_triplet.web.formatting import is_number, name, number, percent, text
from audio_triplet.web.pages import Section

LABEL_COLUMNS = ("path", "recording_id", "labels", "split", "start_seconds", "end_seconds")
"""Of a manifest."""

MAX_MATRIX_CLASSES = 60
MAX_MISTAKES = 12


# --- what it is worth ----------------------------------------------------------------------------


def write_report(path: str, told: Mapping, examples, manifest, checked) -> None:
    """Writes the page of a fitted classifier.

    Args:
      path: The HTML file.
      told: The content of scores.json.
      examples: `examples.Examples` that it was fitted on.
      manifest: Their segments.
      checked: `cross_validation.Checked`, or None if nothing could be checked.
    """
    clips = Clips()
    sections = [
        Section("classes", "Class by class", _classes_section(told, examples)),
        Section("mixups", "What it takes for what", _matrix_section(examples, checked)),
        Section("curve", "What more labels bring", _curve_section(told)),
        Section("mistakes", "Mistakes to listen to", _mistakes(examples, manifest, checked, clips)),
        Section("made", "How this was made", _made_section(told)),
    ]
    pages.write(
        path,
        pages.page(
            f"A classifier of {len(examples.classes)} sounds",
            _lede(told),
            sections,
            clips,
            style=_STYLE,
        ),
    )


def _lede(told: Mapping) -> str:
    score, base = told["score"], told["log_mel"]
    if score is None:
        return (
            "<p>It is fitted, but <b>could not be checked</b>: no class has two recordings. Label "
            "some more, from other recordings, for a score.</p>"
        )
    low, high = score["map_interval"]
    sentences = [
        f"On recordings that it has not heard it reaches a mean average precision of "
        f"<b>{number(score['map'])}</b> (95\u202f%: {number(low)} to {number(high)})"
    ]
    if is_number(score["accuracy"]):
        low, high = score["accuracy_interval"]
        sentences.append(
            f"and puts <b>{percent(score['accuracy'])}</b> of the sounds into the right class "
            f"({percent(low)} to {percent(high)})"
        )
    told_base = ""
    if base is not None:
        told_base = (
            f"<p>The same classifier on plain log mel, which has learned nothing, reaches "
            f"{number(base['map'])}"
            + (f" and {percent(base['accuracy'])}" if is_number(base["accuracy"]) else "")
            + ".</p>"
        )
    return f"<p>{' '.join(sentences)}.</p>{told_base}"


def _classes_section(told: Mapping, examples) -> str:
    score, base = told["score"], told["log_mel"]
    if score is None:
        return ""
    intro = (
        "<p>Average precision of each class: 1 if all sounds of the class are ranked before all "
        "others, each by a classifier that has not heard its recording.</p>"
    )
    if told["unchecked_classes"]:
        intro += (
            "<p>Learned but not checked, because they have one recording only: "
            + ", ".join(name(label) for label in told["unchecked_classes"])
            + ".</p>"
        )
    if base is not None:
        return (
            intro + '<p><span class="key k-joint">embedding</span> '
            '<span class="key k-log_mel">log mel</span></p>'
            + charts.class_bars(score["per_class"], base["per_class"], "the embedding")
        )
    counts = dict(zip(examples.classes, examples.labels.sum(axis=0).tolist(), strict=True))
    shown = {label: value for label, value in score["per_class"].items() if is_number(value)}
    items = "".join(
        f'<li><span class="who">{name(label)}</span><span class="track" aria-hidden="true">'
        f'<i class="k-joint" style="--v:{value:.3f}"></i></span><span class="what">{value:.2f} '
        f"<em>of {counts[label]}</em></span></li>"
        for label, value in sorted(shown.items(), key=lambda item: -item[1])
    )
    return f'{intro}<ol class="bars">{items}</ol>'


def _matrix_section(examples, checked) -> str:
    """The confusion matrix, where every sound has one class."""
    if checked is None or checked.accuracy is None:
        return ""
    fair = ~np.isnan(checked.scores[examples.labels])
    true = examples.labels.argmax(axis=1)[fair]
    found = np.nan_to_num(checked.scores, nan=-1.0).argmax(axis=1)[fair]
    classes = len(examples.classes)
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (true, found), 1)
    kept = np.flatnonzero(matrix.sum(axis=1) + matrix.sum(axis=0))
    if len(kept) > MAX_MATRIX_CLASSES:  # those that are mixed up the most
        wrong = matrix - np.diag(matrix.diagonal())
        most = np.argsort(-(wrong.sum(axis=1) + wrong.sum(axis=0)), kind="stable")
        kept = np.sort(most[:MAX_MATRIX_CLASSES])
    rows = []
    for place, row in enumerate(kept):
        total = matrix[row].sum()
        cells = "".join(
            _cell(
                matrix[row, column],
                total,
                examples.classes[row],
                examples.classes[column],
                row == column,
            )
            for column in kept
        )
        rows.append(
            f'<tr><th scope="row">{place + 1} {name(examples.classes[row])}</th>{cells}</tr>'
        )
    head = "".join(
        f'<th scope="col" title="{text(examples.classes[column])}">{place + 1}'
        f'<span class="hidden"> {text(examples.classes[column])}</span></th>'
        for place, column in enumerate(kept)
    )
    left = (
        ""
        if len(kept) == classes
        else (
            f" Shown are the {len(kept)} classes that are mixed up the most."
            if len(kept) == MAX_MATRIX_CLASSES
            else ""
        )
    )
    return (
        "<p>A row is what a sound is, a column what the classifier takes it for; the stronger the "
        f"tint, the greater the part of the row. On the diagonal it is right.{left}</p>"
        '<div class="wide" role="region" tabindex="0" aria-label="Confusion matrix">'
        f'<table class="matrix"><thead><tr><th scope="col"><span class="hidden">Class</span></th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(count: int, total: int, true: str, found: str, right: bool) -> str:
    if not count:
        return "<td></td>"
    share = count / total
    told = f"{count} of {total} {true} taken for {found}"
    return (
        f'<td class="{"right" if right else "wrong"}{" strong" if share > 0.55 else ""}" '
        f'style="--v:{100 * share:.0f}%" title="{text(told)}">{count}</td>'
    )


def _curve_section(told: Mapping) -> str:
    lines = []
    for key, label in (("embedding", "embedding"), ("log_mel", "log mel")):
        points = told["learning_curve"].get(key) or {}
        score = told["score"] if key == "embedding" else told["log_mel"]
        if points and score is not None:
            x = [int(count) for count in points]
            y = [float(np.mean(means)) for means in points.values()]
            # The score itself: of classifiers that have all labels but those of a fold.
            x.append(told["labels_per_class"] * (1 - 1 / score["folds"]))
            y.append(score["map"])
            style = "k-joint" if key == "embedding" else "k-log_mel"
            lines.append(Line(label, style, x, y))
    if not lines:
        return ""
    full = number(told["score"]["map"])
    return (
        '<div class="charts">'
        + charts.line_chart(
            "Mean average precision by labelled sounds a class",
            f"Means of two draws, on the folds of the score above. The last point is that score, "
            f"{full}: all labels but a fold's. Where the line still rises, more labels are worth it.",
            lines,
            "labelled sounds a class",
        )
        + "</div>"
    )


def _mistakes(examples, manifest, checked, clips: Clips) -> str:
    """The surest wrong answers."""
    if checked is None or checked.accuracy is None:
        return ""
    scores = np.nan_to_num(checked.scores, nan=-1.0)
    fair = ~np.isnan(checked.scores[examples.labels])
    found, true = scores.argmax(axis=1), examples.labels.argmax(axis=1)
    wrong = np.flatnonzero(fair & (found != true))
    if not len(wrong):
        return "<p>There are none.</p>"
    chosen = wrong[np.argsort(-scores[wrong, found[wrong]], kind="stable")][:MAX_MISTAKES]
    frame = manifest.frame.iloc[chosen]
    excerpts = [Excerpt.of_row(row) for row in frame.itertuples()]
    clips.add(excerpts)
    items = "".join(
        f'<li class="tile no">{clips.player(excerpt, examples.classes[true[row]])}'
        f"<p><b>{name(examples.classes[true[row]])}</b><br>taken for "
        f"{name(examples.classes[found[row]])}, {percent(scores[row, found[row]])}</p></li>"
        for row, excerpt in zip(chosen, excerpts, strict=True)
    )
    return (
        f"<p>Of {fair.sum()} sounds {len(wrong)} went to a wrong class; these are the ones it was "
        "the surest of. A label may be wrong too: listen.</p>"
        + clips.picture_guide(excerpts[0], examples.classes[true[chosen[0]]])
        + f'<ol class="gallery">{items}</ol>'
    )


def _made_section(told: Mapping) -> str:
    facts = [
        ("Labelled", f"{told['segments']} sounds of {told['recordings']} recordings"),
        ("Each sound has", "one class" if told["labelling"] == "single" else "any of the classes"),
        (
            "Classifier",
            f"hidden layer of {told['hidden_units']} units"
            if told["hidden_units"]
            else "no hidden layer (logistic regression)",
        ),
        (
            "Regularised by",
            f"{told['regularised']}, chosen on recordings held out of what it is fitted on",
        ),
        (
            "Score",
            "recordings are divided into folds; each is scored by a classifier that was "
            "fitted, and regularised, on the others. The interval draws the recordings again",
        ),
        ("Model", told["model"]),
        ("Command", told["command"]),
        ("Commit", told["commit"]),
        ("Machine", told["machine"]),
        ("Date", told["date"]),
        ("Seed", told["seed"]),
    ]
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{text(term)}</dt><dd>{text(value)}</dd>" for term, value in facts)
        + "</dl>"
    )


# --- what to label next --------------------------------------------------------------------------


def label_rows(frame) -> Iterable[list[str]]:
    """Rows of a manifest without labels, by `LABEL_COLUMNS`, from a manifest's frame."""
    for row in frame.itertuples():
        end = "" if np.isnan(row.end_seconds) else f"{row.end_seconds:g}"
        yield [row.path, row.recording_id, "", "", f"{row.start_seconds:g}", end]


def write_suggestions(
    path: str, frame, scores: np.ndarray, classes: Sequence[str], candidates: int
) -> None:
    """Writes the page to listen to sounds and to label them.

    Args:
      path: The HTML file.
      frame: Rows of a manifest, in the order to show.
      scores: float[rows, classes].
      classes: Names of the labels.
      candidates: How many sounds these were chosen from.
    """
    clips = Clips()
    excerpts = [Excerpt.of_row(row) for row in frame.itertuples()]
    clips.add(excerpts, Quality(max_seconds=EXCERPT_SECONDS))
    items = "".join(
        _suggestion(place, excerpt, values, classes, clips)
        for place, (excerpt, values) in enumerate(zip(excerpts, scores, strict=True))
    )
    options = "".join(f'<option value="{text(label)}">' for label in classes)
    body = (
        "<p>Press a picture to listen (Esc stops), then name what you hear: one of the classes, or "
        'a new one; several separated by ";". Leave open what you cannot tell. Tab goes on to the '
        "next.</p>"
        + clips.picture_guide(excerpts[0], "the first sound")
        + f'<datalist id="classes">{options}</datalist><ol class="ask-list">{items}</ol>'
        '<p class="save"><button type="button" id="save">Save labels.csv</button> '
        '<span id="saved" role="status">Nothing is named yet.</span></p>'
        '<p class="soft small">labels.csv is a manifest of what you named: give it to '
        "<code>audio-triplet classify fit</code> beside what was labelled before.</p>"
    )
    rows = [[formatting.clean(cell) for cell in row] for row in label_rows(frame)]
    pages.write(
        path,
        pages.page(
            "What to label next",
            f"<p>Of {candidates} sounds these {len(rows)} are the least clear to the classifier: its "
            "best guess has the smallest lead over the second. Their labels teach it the most.</p>",
            [Section("sounds", "Listen and name", body)],
            clips,
            {"rows": {"columns": LABEL_COLUMNS, "rows": rows}},
            _STYLE,
            [_LABEL_SCRIPT],
        ),
    )


def _suggestion(
    place: int, excerpt: Excerpt, values: np.ndarray, classes: Sequence[str], clips: Clips
) -> str:
    first, second = np.argsort(-values, kind="stable")[:2]
    return (
        f'<li class="tile">{clips.player(excerpt, f"sound {place + 1}")}'
        f'<p class="guess">{name(classes[first])} {percent(values[first])}<br>or '
        f"{name(classes[second])} {percent(values[second])}</p>"
        f'<label><span class="hidden">Label of sound {place + 1}</span>'
        f'<input type="text" list="classes" data-row="{place}" autocomplete="off" '
        f'placeholder="what is it?"></label><p class="file">{name(excerpt.title)}</p></li>'
    )


_STYLE = """
#curve .chart{max-width:32rem}
.wide{overflow-x:auto;margin:.8rem 0}
.matrix{width:auto;font-size:.8rem;border-collapse:separate;border-spacing:1px}
.matrix th,.matrix td{padding:.2rem .35rem;border:0;min-width:1.7rem;text-align:center}
.matrix tbody th{text-align:left;white-space:nowrap;position:sticky;left:0;background:var(--paper);
font-weight:400;max-width:12rem;overflow:hidden;text-overflow:ellipsis}
.matrix td{background:var(--card)}
.matrix .right{background:color-mix(in oklab,var(--accent) var(--v),var(--card))}
.matrix .wrong{background:color-mix(in oklab,var(--bad) var(--v),var(--card))}
.matrix .strong{color:var(--accent-ink)}
.gallery,.ask-list{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));
gap:1.1rem 1rem;list-style:none;margin:1rem 0;padding:0}
.tile{min-width:0}
.tile p{font-size:.82rem;line-height:1.35;margin:.3rem 0 0}
.tile p.file{color:var(--soft);font-size:.75rem;overflow-wrap:anywhere}
.ask-list input{width:100%;font:inherit;font-size:.95rem;padding:.45rem .6rem;margin-top:.35rem;
border:1px solid var(--line);border-radius:5px;background:var(--card);color:var(--ink);
min-height:44px}
.ask-list li.named input{border-color:var(--good);box-shadow:inset 3px 0 0 var(--good)}
.save button{font:inherit;font-weight:600;padding:.6rem 1.2rem;border:0;border-radius:1.4rem;
background:var(--accent);color:var(--accent-ink);cursor:pointer;min-height:44px}
.save span{margin-left:.8rem;color:var(--soft)}
"""

_LABEL_SCRIPT = """
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("rows").textContent);
  const saved = document.getElementById("saved");
  const inputs = [...document.querySelectorAll("input[data-row]")];
  const place = data.columns.indexOf("labels");
  function named() {
    return inputs.filter((input) => input.value.trim());
  }
  document.addEventListener("input", (event) => {
    const item = event.target.closest(".ask-list li");
    if (!item) return;
    item.classList.toggle("named", Boolean(event.target.value.trim()));
    saved.textContent = `${named().length} of ${inputs.length} are named, not saved yet.`;
  });
  const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
  document.getElementById("save").addEventListener("click", () => {
    const lines = [data.columns.join(",")];
    for (const input of named()) {
      const row = data.rows[Number(input.dataset.row)].slice();
      row[place] = input.value.split(";").map((part) => part.trim()).filter(Boolean).join(";");
      lines.push(row.map(quoted).join(","));
    }
    if (lines.length === 1) {
      saved.textContent = "Nothing is named yet.";
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\\n") + "\\n"], {type: "text/csv"}));
    link.download = "labels.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    saved.textContent = `Saved ${lines.length - 1} labels.`;
  });
})();
"""
