"""Self-contained HTML pages with sound: one design for the report, search results and classifiers.

A page is one file that needs no network: style, script, pictures and sound are in it. It reads on
a phone, in the dark and on paper, and everything on it can be reached with the keyboard.

    clips = Clips()
    clips.add([Excerpt("dog.wav", 0.0, 2.5)])
    body = clips.player(Excerpt("dog.wav", 0.0, 2.5), "dog")
    write(path, page("Title", body, clips=clips))

Sound is MP3, which every browser plays, as base64 in one JSON block that is parsed at the first
click; all players share one audio element, and one listener serves them all, so that a page with
hundreds of players opens at once. Whatever comes from outside (labels, file names) goes through
`text` or `json_block`; beyond that, the page's Content-Security-Policy lets nothing be loaded and
no script run but its own.

No TensorFlow is imported until a log mel picture is made.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Sequence

from audio_triplet import storage
from audio_triplet.web.clips import Clips
from audio_triplet.web.formatting import json_block, text

# --- the page ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
      identifier: Its anchor.
      title: Its heading, plain text; also its name in the page's navigation.
      body: HTML.
    """

    identifier: str
    title: str
    body: str


def page(
    title: str,
    lede: str,
    sections: Sequence[Section],
    clips: Clips | None = None,
    data: dict[str, object] | None = None,
    style: str = "",
    scripts: Sequence[str] = (),
    footer: str = "",
) -> str:
    """A whole page.

    Args:
      title: Plain text.
      lede: HTML below the title: what was found.
      sections: In order; those without a body are left out.
      clips: The sounds that `data-clip` attributes name.
      data: Element id → what a script reads from it as JSON.
      style: CSS beyond the common one.
      scripts: JavaScript beyond the players'; they find `sounds.play(id, title)`, `sounds.stop()`.
      footer: HTML at the end.

    Returns:
      HTML.
    """
    sections = [section for section in sections if section.body]
    scripts = (PLAYER_SCRIPT, *scripts)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
        for code in scripts
    )
    policy = (
        f"default-src 'none'; img-src data:; media-src blob:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )
    navigation = "".join(
        f'<li><a href="#{section.identifier}">{text(section.title)}</a></li>'
        for section in sections
    )
    main = "".join(
        f'<section id="{section.identifier}" aria-labelledby="{section.identifier}-h">'
        f'<h2 id="{section.identifier}-h">{text(section.title)}</h2>{section.body}</section>'
        for section in sections
    )
    blocks = [json_block("clips", clips.json() if clips else {"clips": {}})]
    blocks += [json_block(identifier, value) for identifier, value in (data or {}).items()]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{STYLE}{style}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#main">Skip to the content</a>',
            f'<header><h1>{text(title)}</h1><div class="lede">{lede}</div>',
            f'<nav aria-label="Sections"><ul>{navigation}</ul></nav>',
            "<noscript><p>Playing sound needs JavaScript; all else is here without it.</p></noscript>",
            "</header>",
            f'<main id="main">{main}</main>',
            f"<footer>{footer}</footer>",
            '<div id="now" role="status" hidden><button type="button" data-stop '
            'aria-label="Stop the sound">■</button><span></span></div>',
            *blocks,
            *(f"<script>{code}</script>" for code in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def write(path: str, content: str) -> None:
    """Writes a page, whole or not at all."""
    with storage.open_replacing(path) as file:
        file.write(content)


STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1e2124;--soft:#5c6167;
--line:#e2dfd7;--accent:#0b6b73;--accent-ink:#fff;--wash:#e6f0f0;--plain:#8b8f94;--good:#26733a;
--bad:#ad3f26;--noise:#a8641f;--shift:#7357b5;--mix:#4c7f2e;--near:#b8457a;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--serif:"Iowan Old Style",Charter,"Palatino Linotype",Palatino,P052,Georgia,serif}
@media (prefers-color-scheme:dark){:root{--paper:#15171a;--card:#1c1f23;--ink:#e7e5e0;
--soft:#a2a6ab;--line:#2d3137;--accent:#63c5c8;--accent-ink:#0d1415;--wash:#1c2e30;
--plain:#7d8288;--good:#7fca90;--bad:#f09a84;--noise:#dd9c58;--shift:#ab94ea;--mix:#8fc06f;
--near:#ec86b2}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 var(--sans);
font-variant-numeric:tabular-nums;overflow-wrap:break-word}
header,main,footer{max-width:68rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:clamp(1.5rem,5vw,3.5rem)}
h1,h2,h3{font-family:var(--serif);font-weight:600;line-height:1.2;text-wrap:balance}
h1{font-size:clamp(1.7rem,1.2rem + 2.4vw,2.7rem);margin:0 0 .8rem;letter-spacing:-.01em}
h2{font-size:clamp(1.35rem,1.1rem + 1vw,1.75rem);margin:0 0 .6rem}
h3{font-size:1.15rem;margin:2rem 0 .3rem}
h4{font:600 1rem/1.3 var(--sans);margin:0}
h5{font:600 .85rem/1.3 var(--sans);margin:0}
p,.prose{max-width:66ch;margin:0 0 .9rem}
.lede{font:1.15rem/1.55 var(--serif);max-width:60ch}
.lede p{margin:0 0 .6rem}
.soft,figcaption{color:var(--soft)}
small,.small{font-size:.85rem}
a{color:var(--accent);text-underline-offset:.15em}
section{padding:2.2rem 0 1rem;border-top:1px solid var(--line);margin-top:1.8rem}
main>section:first-child{margin-top:1.2rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.2rem;list-style:none;margin:1.2rem 0 0;padding:0}
nav a{display:inline-block;padding:.3rem 0;font-size:.95rem}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.4rem .8rem;z-index:9}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:3px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
table{border-collapse:collapse;width:100%;margin:.8rem 0;font-size:.95rem}
caption{text-align:left;color:var(--soft);font-size:.9rem;padding-bottom:.5rem;max-width:66ch}
th,td{padding:.5rem .6rem;text-align:right;vertical-align:baseline;
border-bottom:1px solid var(--line);font-weight:400}
tbody th,thead tr:first-child th:first-child{text-align:left}
thead th{color:var(--soft);font-size:.82rem;line-height:1.3;vertical-align:bottom}
thead th[colspan]{text-align:center;border-bottom:0;color:var(--ink);font-weight:600;
padding-bottom:0}
tbody th{font-weight:600}
tbody th small{display:block;font-weight:400;color:var(--soft)}
tr.chosen th,tr.chosen td{background:var(--wash)}
figure{margin:0}
figcaption{font-size:.9rem;line-height:1.45;max-width:60ch;margin:0 0 .5rem}
figcaption b{color:var(--ink);font-weight:600}
svg{display:block;width:100%;height:auto}
svg text{font:11px var(--sans);fill:var(--ink)}
svg .tick{fill:var(--soft)}
.grid{stroke:var(--line);stroke-width:1}
.line{fill:none;stroke-width:1.7;stroke-linejoin:round;stroke:var(--c)}
svg text.end{fill:var(--c);font-weight:600}
svg text.end.k-log_mel{fill:var(--soft)}
.chart h3{font:600 .95rem/1.3 var(--sans);margin:0 0 .4rem}
.chart figcaption{margin:.4rem 0 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));
gap:1.6rem 2rem;margin-top:1rem}
.k-joint{--c:var(--accent)}.k-explicit{--c:var(--ink)}.k-log_mel{--c:var(--plain)}
.k-gaussian_noise{--c:var(--noise)}.k-translation{--c:var(--shift)}.k-mixing{--c:var(--mix)}
.k-proximity{--c:var(--near)}
svg .line.k-joint{stroke-width:2.6}
.clip{position:relative;display:block;width:100%;padding:0;border:0;border-radius:5px;
overflow:hidden;background:#000004;color:#fff;cursor:pointer;font:inherit;line-height:0;
min-height:44px;text-align:left}
.clip img{display:block;width:100%;height:64px;object-fit:fill}
.clip i{position:absolute;left:6px;bottom:6px;width:22px;height:22px;border-radius:50%;
background:rgb(0 0 0/.6);box-shadow:0 0 0 1px rgb(255 255 255/.55)}
.clip i:before{content:"";position:absolute;left:8px;top:5.5px;border-left:9px solid #fff;
border-top:5.5px solid transparent;border-bottom:5.5px solid transparent}
.clip.playing i:before{left:6.5px;top:6.5px;width:9px;height:9px;border:0;background:#fff}
.clip:hover i,.clip.playing i{background:var(--accent)}
.clip:hover i:before{border-left-color:var(--accent-ink)}
.clip.playing i:before{background:var(--accent-ink)}
.clip s{position:absolute;right:5px;bottom:5px;font:11px/1 var(--sans);text-decoration:none;
background:rgb(0 0 0/.6);padding:2px 4px;border-radius:3px}
.clip:after{content:"";position:absolute;top:0;bottom:0;left:0;width:2px;background:#fff;
opacity:0;transform:translateX(-2px)}
.clip.playing:after{opacity:1;left:calc(var(--at,0)*100%)}
.clip.bare{display:inline-block;width:auto;min-width:92px;vertical-align:middle;
background:var(--wash);color:var(--ink)}
.clip.bare i{bottom:11px}.clip.bare s{bottom:16px;background:none}
.clip.bare:after{background:var(--accent)}
.clip.mute{color:#bbb;cursor:default;display:grid;place-items:center;font-size:.8rem}
#now{position:fixed;left:50%;bottom:max(.8rem,env(safe-area-inset-bottom));z-index:5;
transform:translateX(-50%);display:flex;gap:.6rem;align-items:center;max-width:92vw;
background:var(--ink);color:var(--paper);border-radius:2rem;padding:.3rem 1.1rem .3rem .3rem;
font-size:.9rem;box-shadow:0 3px 14px rgb(0 0 0/.25)}
#now[hidden]{display:none}
#now span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
#now button{border:0;border-radius:50%;width:34px;height:34px;background:var(--accent);
color:var(--accent-ink);cursor:pointer;flex:none;font-size:.8rem}
.guide{display:grid;grid-template-columns:minmax(0,26rem) minmax(14rem,1fr);gap:1rem 2.2rem;
align-items:center;margin:1.2rem 0}
.guide .plot{position:relative;padding:0 0 1.5rem 3.6rem}
.guide img{display:block;width:100%;height:9rem;border-radius:5px}
.hertz,.times{position:absolute;font-size:.75rem;line-height:1;color:var(--soft)}
.hertz{left:0;top:0;bottom:1.5rem;width:3.2rem}
.times{left:3.6rem;right:0;bottom:0;height:1.1rem}
.hertz span,.times span{position:absolute;white-space:nowrap}
.hertz span{right:0;transform:translateY(50%)}.times span{transform:translateX(-50%)}
.hertz span:first-child{transform:none}.hertz span:last-child{transform:translateY(100%)}
.times span:first-child{transform:none}.times span:last-child{transform:translateX(-90%)}
dl.facts{display:grid;grid-template-columns:minmax(7rem,auto) 1fr;gap:.35rem 1.4rem;
font-size:.92rem;margin:0 0 1rem}
dl.facts dt{color:var(--soft)}
dl.facts dd{margin:0;min-width:0;overflow-wrap:anywhere}
code,pre{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);padding:1rem;
border:1px solid var(--line);border-radius:6px}
.key{white-space:nowrap;margin-right:.8rem}
.key:before{content:"";display:inline-block;width:1.6em;height:.5em;border-radius:2px;
background:var(--c);margin-right:.4em;vertical-align:.1em}
.bars{list-style:none;margin:0;padding:0;columns:2;column-gap:3rem;font-size:.88rem}
.bars li{display:grid;grid-template-columns:minmax(6.5rem,9.5rem) 1fr 5.4rem;gap:.7rem;
align-items:center;break-inside:avoid;padding:.2rem 0;line-height:1.2}
.track i{display:block;height:6px;border-radius:0 3px 3px 0;background:var(--c);margin:2px 0;
width:max(2px,calc(var(--v)*100%))}
.track .k-log_mel{height:4px}
.what{text-align:right;white-space:nowrap}
.what em{font-style:normal;color:var(--soft);display:inline-block;min-width:2.9rem}
.what em.up{color:var(--good)}.what em.down{color:var(--bad)}
summary{cursor:pointer;color:var(--accent);padding:.35rem 0}
footer{color:var(--soft);font-size:.85rem;padding-top:1rem;padding-bottom:5rem}
@media (max-width:44rem){
table.stack,table.stack tbody,table.stack tr,table.stack th,table.stack td,
table.stack caption{display:block}
table.stack thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table.stack tr{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));
gap:.1rem 1.4rem;padding:.7rem .6rem;
margin:0 -.6rem;border-bottom:1px solid var(--line)}
table.stack tr.chosen{background:var(--wash);border-radius:6px}
table.stack th,table.stack td{border:0;padding:.1rem 0;background:none!important}
table.stack tbody th{grid-column:1/-1;padding-bottom:.3rem}
table.stack td{display:flex;justify-content:space-between;gap:.5rem}
table.stack td:before{content:attr(data-label);color:var(--soft);font-size:.85rem}
.bars{columns:1}
.bars li{grid-template-columns:7rem 1fr 5.2rem}
.guide{grid-template-columns:1fr}
dl.facts{grid-template-columns:1fr;gap:0}
dl.facts dd{margin-bottom:.5rem}
}
@media (prefers-reduced-motion:reduce){*{transition:none!important;scroll-behavior:auto!important}}
@media print{:root{--paper:#fff}nav,#now,.skip,.clip i{display:none!important}
section{break-before:auto}figure,tr,article{break-inside:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

# One audio element; sounds become blobs when first played. `sounds` is what other scripts use.
PLAYER_SCRIPT = """
"use strict";
const sounds = (() => {
  const audio = new Audio(), urls = new Map(), now = document.getElementById("now");
  let store = null, button = null, frame = 0;
  function url(id) {
    store ??= JSON.parse(document.getElementById("clips").textContent);
    if (!urls.has(id) && store.clips[id]) {
      const bytes = Uint8Array.from(atob(store.clips[id]), (c) => c.charCodeAt(0));
      urls.set(id, URL.createObjectURL(new Blob([bytes], {type: store.type})));
    }
    return urls.get(id);
  }
  function mark(on) {
    if (!button) return;
    button.classList.toggle("playing", on);
    button.setAttribute("aria-pressed", on);
  }
  function stop() {
    audio.pause();
    cancelAnimationFrame(frame);
    mark(false);
    button = null;
    now.hidden = true;
  }
  function follow() {
    if (button) button.style.setProperty("--at", audio.currentTime / button.dataset.span);
    frame = requestAnimationFrame(follow);
  }
  function play(id, title, element = null) {
    stop();
    const source = url(id);
    if (!source) return Promise.resolve(false);
    audio.src = source;
    button = element;
    mark(true);
    now.lastElementChild.textContent = title;
    now.hidden = false;
    if (element) follow();
    return audio.play().then(() => true, (error) => {
      // Until the first click or key a browser keeps a page silent; a newer sound aborts this one.
      if (error.name !== "AbortError") stop();
      return false;
    });
  }
  audio.addEventListener("ended", stop);
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-clip],[data-stop]");
    if (!pressed) return;
    if (pressed.hasAttribute("data-stop") || pressed === button) stop();
    else play(pressed.dataset.clip, pressed.dataset.title || "", pressed);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  return {play, stop};
})();
"""
