// The pages of workspaces: what is held and what runs stays as it is now, and times left count down.

import { renew } from "./lib/renew.js";
import { listen } from "./lib/stream.js";
import { left } from "./lib/words.js";

const OFTEN = 60_000;
const COUNT_DOWN = 15_000;

let seen = null;

if (document.querySelector("[data-gs-live]")) {
  listen("availability", { message: changed });
  setInterval(renew, OFTEN);
}
setInterval(countDown, COUNT_DOWN);
document.addEventListener("gs-renewed", countDown);

// Of what is free in the cluster these pages tell nothing: only another number of GPUs held matters.
function changed({ workspaces }) {
  const held = JSON.stringify(
    Object.entries(workspaces).map(([name, { classes }]) => [name, Object.values(classes).map((one) => one.held)]),
  );
  if (seen !== null && seen !== held) {
    renew();
  }
  seen = held;
}

function countDown() {
  for (const one of document.querySelectorAll("[data-gs-left]")) {
    one.textContent = left((new Date(one.dataset.gsLeft) - Date.now()) / 1000);
  }
}
