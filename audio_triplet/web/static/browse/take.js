// Taking away what was made, and bringing in labels that were made elsewhere.
import {post, served} from "./api.js";
import {$, count, element} from "../shared/dom.js";
import {refresh} from "./state.js";

const FORMS = [
  ["classifier", "The classifier", "For audio-triplet classify predict, on any number of recordings; with its scores."],
  ["predictions", "Predictions", "A probability of each class for every moment of the archive, as CSV."],
  ["manifest", "Labels as a manifest", "CSV for audio-triplet classify fit, and for your own scripts."],
  ["answers", "All answers", "CSV of every answer, with who gave it and when."],
  ["raven", "Raven", "A selection table for each recording, zipped."],
  ["audacity", "Audacity", "A label track for each recording, zipped."],
];

async function bringIn() {
  const [file] = $("table").files;
  if (!file) return;
  const form = new FormData();
  form.append("file", file);
  $("imported").textContent = "Reading …";
  $("imported").classList.remove("error");
  try {
    const found = await post("/api/import", form);
    const missing = found.unmatched_rows
      ? ` ${count(found.unmatched_rows, "row")} of sounds that are not in the index: ${found.unmatched.slice(0, 3).join(", ")}${found.unmatched.length > 3 ? " …" : ""}.` : "";
    $("imported").textContent = `${count(found.stored, "label")} stored, ${found.known} known before.${missing}`;
    await refresh();
  } catch (error) {
    $("imported").textContent = error.message;
    $("imported").classList.add("error");
  }
  $("table").value = "";
}

export function begin() {
  $("exports").append(...FORMS.map(([form, name, words]) => element("li", {},
    element("a", {href: served("/api/export", {form}), download: true, id: `export-${form}`}, name),
    element("p", {class: "soft"}, words))));
  $("table").addEventListener("change", bringIn);
}
