// The page of GPUs, kept up to date: numbers at once by the stream of what is free, the rest from the page itself.

import { listen } from "./lib/stream.js";

const SOON = 4_000;
const SELDOM = 20_000;

let renewed = Date.now();
let planned = null;

listen("availability", {
  message({ classes }) {
    for (const [name, { sentence, total }] of Object.entries(classes)) {
      if (total) {
        tell(name, sentence);
      }
    }
    renewLater();
  },
});

/** The sentence of a class begins with what is free; what is closed, the server says after it. */
function tell(name, sentence) {
  const bar = document.querySelector(`[data-gs-bar="${CSS.escape(name)}"]`);
  const words = bar?.querySelector(".gs-bar-text");
  if (!words) {
    return;
  }
  const [, ...closed] = words.textContent.split("; ");
  words.textContent = [sentence, ...closed].join("; ");
}

/** All viewers hear of a change at once: they ask at different times, and none too often. */
function renewLater() {
  const wait = Math.max(SOON, renewed + SELDOM - Date.now());
  planned ??= setTimeout(renew, wait * (0.5 + Math.random() / 2));
}

async function renew() {
  planned = null;
  renewed = Date.now();
  const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) {
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-gs-live]")) {
    const other = fresh.querySelector(`[data-gs-live="${CSS.escape(part.dataset.gsLive)}"]`);
    const inUse = part.contains(document.activeElement) || part.querySelector("details[open]");
    if (other && !inUse && part.innerHTML !== other.innerHTML) {
      part.replaceChildren(...other.childNodes);
    }
  }
}
