// The recordings of the archive, with a filter; a click opens one.
import {get} from "./api.js";
import {$, after, button, clock, count, element, guarded, shortName, time} from "../shared/dom.js";

const PAGE = 60;
let shown = 0, text = null;

async function load(isMore) {
  const wanted = $("recordings-filter").value.trim();
  if (!isMore && wanted === text) return;
  if (!isMore) shown = 0;
  text = wanted;
  const {files, total} = await get("/api/files", {text, offset: shown, limit: PAGE});
  if (wanted !== text) return;  // one typed on meanwhile
  const items = files.map((file) => element("li", {}, button("", {"data-path-of": file.path, title: file.path})));
  items.forEach((item, place) => {
    const file = files[place];
    item.firstChild.append(element("bdi", {}, shortName(file.path)),
      element("span", {class: "soft"}, `${file.clock_time ? clock(file.clock_time).slice(0, 16) + " · " : ""}${time(file.seconds)}`));
  });
  if (isMore) $("recordings-list").append(...items);
  else $("recordings-list").replaceChildren(...items);
  shown += files.length;
  $("recordings-more").hidden = shown >= total;
  $("recordings-count").textContent = count(total, "recording");
}

export function begin(open) {
  $("recordings").addEventListener("toggle", guarded(() => ($("recordings").open ? load(false) : undefined)));
  $("recordings-filter").addEventListener("input", after(150, guarded(() => load(false))));
  $("recordings-more").addEventListener("click", guarded(() => load(true)));
  $("recordings-list").addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-path-of]");
    if (pressed) open(pressed.dataset.pathOf);
  });
}
