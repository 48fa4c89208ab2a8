"""The report of a table: figures, curves, a map to listen to, and neighbours beside log mel's.

`write_report` makes one self-contained HTML file of what `experiments.table1` found. It says what
each figure means, shows where joint is worse than log mel as readily as where it is better, and
how its examples were chosen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from audio_triplet.web import pages
from audio_triplet.web.charts import class_bars
from audio_triplet.web.clips import Clips
from audio_triplet.web.formatting import is_number, name, number, percent, text
from audio_triplet.web.map import MAP_SCRIPT, map_section
from audio_triplet.web.pages import Section
from audio_triplet.web.queries import (
    Segments,
    answer,
    mix_ups_section,
    queries_section,
    sample_segments,
)
from audio_triplet.web.training_curves import training_section

_ROWS = {
    "log_mel": ("Log mel", "the baseline: no training at all"),
    "gaussian_noise": ("Gaussian noise", "a sound and the same with noise"),
    "translation": ("Translation", "a sound and the same shifted in time and pitch"),
    "mixing": ("Example mixing", "a sound and its mixture with another"),
    "proximity": ("Temporal proximity", "two moments of one recording"),
    "joint": ("Joint", "all four constraints together, no labels"),
    "explicit": ("Explicit labels", "the topline: the same network, taught the classes"),
}


def write_report(
    path: str,
    table: Mapping,
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    log_mel,
    joint,
    classes: Sequence[str],
    seed: int = 0,
    title: str = "What unlabelled sound teaches",
) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      table: The content of table1.json. Rows and figures may be missing, or None.
      runs: Row → the rows of that run's metrics.csv (`training.read_metrics`).
      log_mel: `EmbeddingSet` of the test side, the baseline's.
      joint: The same segments' joint embedding.
      classes: Names of the labels.
      seed: Of samples, of ties between queries, and of the map.
      title: Of the page.

    Raises:
      ValueError: The two embeddings are of different segments.
    """
    rows = {row["name"]: row for row in table.get("rows", ())}
    config = table.get("config", {})
    segments, vectors = sample_segments(log_mel, joint, classes, seed)
    clips = Clips()
    answers = answer(segments, vectors)
    queries = queries_section(segments, answers, clips, seed)
    mix_ups = mix_ups_section(segments, answers, clips)
    map_body, map_data = map_section(segments, vectors, clips, seed)
    sections = [
        Section("scores", "Scores", _scores_section(rows)),
        Section("classes", "Class by class", _classes_section(rows)),
        Section("queries", "Queries and what they find", queries),
        Section("mixups", "Mix-ups", mix_ups),
        Section("map", "A map to listen to", map_body),
        Section("training", "Training", training_section(runs)),
        Section("made", "How this was made", _made_section(config, segments)),
    ]
    footer = ""
    if clips.unreadable:
        footer = (
            f"<p>{len(clips.unreadable)} of {len(clips)} sounds could not be read again for this "
            "page; their players say so.</p>"
        )
    pages.write(
        path,
        pages.page(
            title,
            _lede(rows),
            sections,
            clips,
            {"map-data": map_data},
            _STYLE,
            [MAP_SCRIPT],
            footer,
        ),
    )


# --- words and figures ---------------------------------------------------------------------------


def _lede(rows: Mapping[str, Mapping]) -> str:
    """What was found, in words, as far as the table has it."""
    sentences = []
    joint, log_mel = rows.get("joint", {}), rows.get("log_mel", {})
    for score, task in (
        ("qbe_map", "finding sounds of the same class by example"),
        ("cls_map", "classification"),
    ):
        mine, base = joint.get(score), log_mel.get(score)
        if not (is_number(mine) and is_number(base)):
            continue
        verb = "beats" if mine > base else "does not beat"
        who = "it" if sentences else "the joint embedding, learned without a single label,"
        sentence = (
            f"In {task} {who} <b>{verb} log mel: {number(mine)} against {number(base)}</b> "
            "mean average precision"
        )
        share, top = joint.get(f"recovery_{score[:3]}"), rows.get("explicit", {}).get(score)
        if is_number(share) and is_number(top) and top > base:
            sentence += (
                f"; that is {percent(share)} of the way to the {number(top)} of the same network "
                "taught with all labels"
            )
        sentences.append(f"<p>{sentence}.</p>")
    return "".join(sentences)


_COLUMNS = (  # key, phone label, format
    ("qbe_map", "By-example mAP", number),
    ("recovery_qbe", "Recovery", percent),
    ("ratio_qbe", "Ratio", percent),
    ("cls_map", "Classif. mAP", number),
    ("recovery_cls", "Recovery", percent),
    ("ratio_cls", "Ratio", percent),
    ("query_map", "Per-query mAP", number),
    ("accuracy", "Accuracy", number),
)


def _scores_section(rows: Mapping[str, Mapping]) -> str:
    if not rows:
        return ""
    top = {
        key: max([r[key] for r in rows.values() if is_number(r.get(key))], default=0) or 1
        for key in ("qbe_map", "cls_map")
    }
    body = "".join(_score_row(row, top) for row in rows.values())
    seeds = max(len(row.get("seeds") or [0]) for row in rows.values())
    return (
        "<p><b>Query by example</b> asks whether two sounds of one class lie closer together "
        "than two of different classes: all pairs of test sounds are ranked by cosine distance, "
        "and mean average precision (mAP) is 1 if every pair of one class comes first. Pairs from "
        "one recording are left out. <b>Classification</b> trains a small network on the frozen "
        "embeddings of the training side and ranks the test sounds for each class.</p>"
        "<p><b>Recovery</b> is the part of the gap between log mel and the topline that a row "
        "closes, (score − log mel) / (topline − log mel): 0\u202f% is no better than log mel, "
        "100\u202f% as good as having all labels. <b>Ratio</b> is score / topline.</p>"
        '<div class="scores"><table class="stack" role="table"><caption>'
        + (f"Means over {seeds} seeds ± their standard deviation. " if seeds > 1 else "")
        + "Every row: same network, same training steps, same evaluation; only the triplets it "
        "learns from differ.</caption>"
        '<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col" rowspan="2">'
        "Learned from</th>"
        '<th role="columnheader" scope="colgroup" colspan="3">Query by example</th>'
        '<th role="columnheader" scope="colgroup" colspan="3">Classification</th>'
        '<th role="columnheader" scope="colgroup" colspan="2">Also</th></tr><tr role="row">'
        + "".join(
            f'<th role="columnheader" scope="col">{label}</th>'
            for label in (
                "mAP",
                "recovery",
                "ratio",
                "mAP",
                "recovery",
                "ratio",
                "per-query mAP",
                "accuracy",
            )
        )
        + f'</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>'
        '<p class="soft small">The figures of the paper behind the method (Jansen et al., 2018) '
        "are not the comparison here: they are for AudioSet, two million clips of 527 classes, and "
        "this is another, smaller corpus. What can be compared is the order of the rows, and the "
        "recovery: the paper's abstract reports 41\u202f% (retrieval) and 84\u202f% "
        "(classification) for joint.</p>"
    )


def _score_row(row: Mapping, top: Mapping[str, float]) -> str:
    title, told = _ROWS.get(row["name"], (row["name"], ""))
    spread = row.get("spread") or {}
    cells = []
    for key, label, shown in _COLUMNS:
        value = row.get(key)
        cell = shown(value)
        if is_number(value) and is_number(spread.get(key)):
            cell += f' <small class="soft">±{spread[key]:.3f}</small>'
        if key in top:
            share = max(0.0, value / top[key]) if is_number(value) else 0.0
            cell = (
                f"<b>{cell}</b>"
                f'<span class="gauge k-{text(row["name"])}" style="--v:{share:.3f}"></span>'
            )
        cells.append(f'<td role="cell" data-label="{label}"><span>{cell}</span></td>')
    chosen = ' class="chosen"' if row["name"] == "joint" else ""
    return (
        f'<tr role="row"{chosen}><th role="rowheader" scope="row">{name(title)}'
        f"<small>{text(told)}</small></th>{''.join(cells)}</tr>"
    )


def _classes_section(rows: Mapping[str, Mapping]) -> str:
    """Average precision of each class as bars, joint above log mel, the largest gain first."""
    joint, log_mel = rows.get("joint", {}), rows.get("log_mel", {})
    panels = []
    for key, title in (("qbe_per_class", "Query by example"), ("cls_per_class", "Classification")):
        mine, base = joint.get(key) or {}, log_mel.get(key) or {}
        bars = class_bars(mine, base, "joint")
        if bars:
            panels.append((key[:3], title, bars))
    if not panels:
        return ""
    inputs = "".join(
        f'<input class="hidden" type="radio" name="measure" id="m-{key}"'
        f"{' checked' if not place else ''}>"
        f'<label for="m-{key}">{title}</label>'
        for place, (key, title, _) in enumerate(panels)
    )
    bodies = "".join(f'<div class="panel p-{key}">{body}</div>' for key, _, body in panels)
    return (
        "<p>Average precision of each class, the largest gain over log mel first; at the end are "
        "the classes where log mel is the better guide. "
        '<span class="key k-joint">joint</span> <span class="key k-log_mel">log mel</span></p>'
        f'<div class="choice">{inputs}{bodies}</div>'
    )


# --- provenance ----------------------------------------------------------------------------------

_FACTS = {
    "command": "Command",
    "corpus": "Corpus",
    "train_splits": "Trained on",
    "test_splits": "Tested on",
    "segments": "Segments",
    "hours": "Hours of sound",
    "commit": "Commit",
    "date": "Date",
    "seconds": "Time taken",
    "machine": "Machine",
    "versions": "Versions",
}


def _made_section(config: Mapping, segments: Segments) -> str:
    facts = []
    for key in [*_FACTS, *(key for key in config if key not in _FACTS)]:
        value = config.get(key)
        if value is None or (isinstance(value, Mapping) and key not in _FACTS):
            continue
        told = text(_fact(key, value))
        if key == "command":
            told = f"<code>{told}</code>"
        facts.append(f"<dt>{text(_FACTS.get(key, key))}</dt><dd>{told}</dd>")
    if segments.total > len(segments):
        facts.append(
            f"<dt>Sample</dt><dd>Queries, mix-ups and map are of {len(segments)} test sounds drawn "
            f"from {segments.total}; the scores are of all.</dd>"
        )
    nested = {key: v for key, v in config.items() if isinstance(v, Mapping) and key not in _FACTS}
    details = ""
    if nested:
        content = text(json.dumps(nested, indent=1, ensure_ascii=False, default=str))
        details = f"<details><summary>All settings</summary><pre>{content}</pre></details>"
    return f'<dl class="facts">{"".join(facts)}</dl>{details}'


def _fact(key: str, value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if key == "seconds" and is_number(value):
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    if key == "hours" and is_number(value):
        return f"{value:.2f}"
    if key == "corpus":
        return _without_home(str(value))
    return str(value)


def _without_home(value: str) -> str:
    home = os.path.expanduser("~")
    return value.replace(home, "~") if len(home) > 1 else value


_STYLE = """
.scores td:not([data-label="Recovery"]):not([data-label="Ratio"]){min-width:5.2rem}
.gauge{display:block;height:4px;border-radius:2px;margin-top:4px;margin-left:auto;width:100%;
background:linear-gradient(var(--c),var(--c)) 0 0/calc(var(--v)*100%) 100% no-repeat var(--line)}
.choice>label{display:inline-block;padding:.45rem .95rem;border:1px solid var(--line);
background:var(--card);cursor:pointer;font-size:.9rem;border-radius:1.4rem;
margin:.2rem .3rem 1rem 0}
.choice>input:checked+label{background:var(--accent);border-color:var(--accent);
color:var(--accent-ink)}
.choice>input:focus-visible+label{outline:3px solid var(--accent);outline-offset:2px}
.choice #m-qbe:checked~.p-cls,.choice #m-cls:checked~.p-qbe{display:none}
.query{display:grid;grid-template-columns:minmax(9rem,1.25fr) 5fr;gap:.4rem 1.6rem;
padding:1.1rem 0 1.3rem;border-top:1px solid var(--line);align-items:start}
.ask{grid-row:1/3}
.ask h4{font:600 1.15rem/1.25 var(--serif);margin-bottom:.5rem}
.ask .clip img{height:96px}
.file{font-size:.78rem;color:var(--soft);margin:.35rem 0 0;overflow-wrap:anywhere}
.found h5{border-left:4px solid var(--c);padding-left:.5rem;margin-bottom:.45rem}
.found h5 span{font-weight:400;color:var(--soft);margin-left:.4rem}
.found ol{display:grid;grid-template-columns:repeat(5,1fr);gap:.7rem;list-style:none;
margin:0 0 .5rem;padding:0}
.tile{min-width:0}
.tile .clip{border-bottom:4px solid var(--plain);background-clip:padding-box}
.tile.ok .clip{border-bottom-color:var(--good)}
.tile.no .clip{border-bottom:4px dashed var(--bad)}
.tile p{font-size:.8rem;line-height:1.35;margin:.3rem 0 0;position:relative}
.tile b{font-weight:600}
.verdict{white-space:nowrap;color:var(--soft)}
.ok .verdict{color:var(--good)}.no .verdict{color:var(--bad)}
.cosine{float:right;color:var(--soft)}
.mixups .pair div{display:flex;gap:.6rem;justify-content:flex-end}
.mixups .clip{width:9rem}.mixups .clip img{height:48px}
.mixups td{vertical-align:middle}.mixups th{vertical-align:middle}
.mixups tbody th{font-weight:600}.mixups .soft{font-weight:400}
.atlas{display:grid;grid-template-columns:minmax(0,1fr) 17rem;gap:1rem 2rem;align-items:start;
margin-top:1.2rem}
.controls{display:flex;flex-wrap:wrap;gap:.6rem 1.2rem;align-items:center;margin-bottom:.7rem;
font-size:.9rem}
.switch{display:inline-flex;border:1px solid var(--line);border-radius:1.4rem;overflow:hidden;
background:var(--card)}
.switch button{border:0;background:none;color:inherit;font:inherit;padding:.45rem .95rem;
cursor:pointer}
.switch button[aria-pressed=true]{background:var(--accent);color:var(--accent-ink)}
.switch button:focus-visible{outline-offset:-3px;border-radius:1.4rem}
.controls label{display:inline-flex;gap:.4rem;align-items:center;min-height:2.2rem}
.controls input{accent-color:var(--accent);width:1.05rem;height:1.05rem}
.frame{position:relative}
#chart{background:var(--card);border:1px solid var(--line);border-radius:8px;cursor:crosshair;
touch-action:manipulation;overflow:hidden}
#chart .marks use{stroke:var(--card);stroke-width:1;transition:transform .9s ease,opacity .15s}
#chart.dim .marks use{opacity:.1}
#chart.dim .marks use.on{opacity:1}
#chart .names text{font:600 12px var(--sans);paint-order:stroke;stroke:var(--card);
stroke-width:4px;stroke-linejoin:round;pointer-events:none}
#chart .names{transition:opacity .2s}
#chart:hover .names{opacity:.3}
#chart.dim .names,#chart.other .names{display:none}
.ring{fill:none;stroke:var(--ink);stroke-width:2.5;visibility:hidden}
.ring.on{visibility:visible}
#spot{position:absolute;pointer-events:none;background:var(--ink);color:var(--paper);
font-size:.83rem;line-height:1.3;padding:.3rem .6rem;border-radius:5px;
width:max-content;max-width:14rem;transform:translate(-50%,calc(-100% - 14px));
visibility:hidden;overflow-wrap:anywhere}
#spot.on{visibility:visible}
#spot.below{transform:translate(-50%,18px)}
#spot small{display:block;opacity:.75}
.legend h3{margin:.5rem 0 .6rem;font:600 .9rem/1.3 var(--sans)}
.legend ul{list-style:none;margin:0;padding:0;columns:2;column-gap:.4rem}
.legend li{break-inside:avoid}
.legend button{display:flex;width:100%;gap:.4rem;align-items:center;border:0;background:none;
color:inherit;font:inherit;font-size:.8rem;line-height:1.2;text-align:left;padding:.22rem .3rem;
cursor:pointer;border-radius:5px;min-height:1.7rem}
.legend button:hover{background:var(--wash)}
.legend button[aria-pressed=true]{background:var(--wash);box-shadow:inset 0 0 0 2px var(--accent)}
.legend svg{width:14px;height:14px;flex:none;overflow:visible}
.legend button span{color:var(--soft);margin-left:auto}
@media (max-width:60rem){.atlas{grid-template-columns:1fr}.legend ul{columns:4 9rem}
.query{column-gap:1rem}.found ol{column-gap:.5rem}.cosine{float:none;display:block}}
@media (max-width:44rem){
.gauge{display:inline-block;width:min(5rem,20vw);margin:0 .6rem 0 0;vertical-align:.2em}
.scores td>span{display:flex;flex-flow:row-reverse;align-items:center}
.scores td:has(.gauge),.scores td:nth-last-child(-n+2){grid-column:1/-1}
.query{grid-template-columns:1fr 1fr;gap:.8rem 1rem}
.ask{grid-row:auto;grid-column:1/-1}
.found ol{grid-template-columns:1fr}
.cosine{float:right}
#chart{--mark:1.45}
#chart .ring{r:15px}
#chart .names text{font-size:19px;stroke-width:6px}
#chart .names text:nth-child(n+9){display:none}
.legend button{min-height:2.6rem;font-size:.85rem}
.mixups .pair{grid-column:1/-1;margin-top:.3rem}
.mixups .pair div{width:100%}
.mixups .pair .clip{width:50%}
.mixups .pair:before{display:none}
}
"""
