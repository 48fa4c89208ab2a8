// One audio element for all players. A player names a sound of the page (data-clip), which becomes a
// blob when it is first played, or where one is served (data-url).
// Other scripts use sounds.play(id, title) and sounds.stop().
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
    const source = element?.dataset.url ?? url(id);
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
    const pressed = event.target.closest("[data-clip],[data-url],[data-stop]");
    if (!pressed) return;
    if (pressed.hasAttribute("data-stop") || pressed === button) stop();
    else play(pressed.dataset.clip, pressed.dataset.title || "", pressed);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  return {play, stop};
})();
