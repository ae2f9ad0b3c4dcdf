// The page of GPUs, kept up to date: numbers at once by the stream of what is free, the rest from the page itself.

import { renew } from "./lib/renew.js";
import { listen } from "./lib/stream.js";

const SELDOM = 20_000;

let first = true;

listen("availability", {
  message({ classes }) {
    for (const [name, now] of Object.entries(classes)) {
      tell(name, now);
    }
    if (!first) {
      renew(SELDOM);
    }
    first = false;
  },
});

/** Of a class without an open node the page knows more. */
function tell(name, { sentence, used, total }) {
  const bar = document.querySelector(`[data-gs-bar="${CSS.escape(name)}"]`);
  if (!bar || !total) {
    return;
  }
  const words = bar.querySelector(".gs-bar-text");
  const [, ...closed] = words.textContent.split("; ");
  words.textContent = [sentence, ...closed].join("; ");
  const picture = bar.querySelector(".gs-bar-picture");
  const away = Number(bar.closest("[data-gs-closed]").dataset.gsClosed);
  const whole = Math.max(total, used) + away;
  picture.querySelector(".gs-bar-used").setAttribute("width", (100 * used) / whole);
  picture.querySelector(".gs-bar-held").setAttribute("x", (100 * used) / whole);
  picture.querySelector(".gs-bar-held").setAttribute("width", (100 * away) / whole);
  picture.classList.toggle("gs-bar-full", used + away >= whole);
}
