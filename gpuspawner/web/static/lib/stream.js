// Server-sent events of the hub. A browser has six connections to a host for all its tabs: a page that nobody sees
// hangs up, unless it says that it must hear on.

import { url, xsrf } from "./api.js";

const SOONEST = 5_000;
const LATEST = 300_000;

/**
 * Listen to a stream of the API: `listen("availability", { message: show })`.
 *
 * `hears` has a function for each event name, called with its JSON and the event; `message` is the one without a name.
 * Each time the page is seen again the stream begins anew, so the hub tells first how things stand. Returns what ends it.
 */
export function listen(path, hears, { query, background = false } = {}) {
  let source = null;
  let again = null;
  let wait = SOONEST;

  const seen = () => (document.hidden && !background ? hangUp() : open());
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pagehide", hangUp);
  window.addEventListener("pageshow", seen);
  seen();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    window.removeEventListener("pagehide", hangUp);
    window.removeEventListener("pageshow", seen);
    hangUp();
  };

  function open() {
    if (source) {
      return;
    }
    clearTimeout(again);
    source = new EventSource(url(path, { ...query, _xsrf: xsrf }));
    source.onopen = () => (wait = SOONEST);
    source.onerror = lost;
    for (const [name, hear] of Object.entries(hears)) {
      source.addEventListener(name, (event) => hear(JSON.parse(event.data), event));
    }
  }

  function hangUp() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  // While it is CONNECTING the browser comes back by itself; CLOSED means that the hub has refused.
  function lost() {
    if (source?.readyState === EventSource.CLOSED) {
      hangUp();
      again = setTimeout(seen, wait);
      wait = Math.min(2 * wait, LATEST);
    }
  }
}
