// Parts of a page as the hub renders them now: those marked data-gs-live, each with an id.

const SOONEST = 3_000;

let last = 0;
let planned = null;

/**
 * Renew them soon; calls in quick succession are one. A part in which somebody is at work waits for the next time.
 * A page that many look at, who all hear of a change at once, asks more seldom, and not all at the same time:
 * `renew(30_000)`.
 */
export function renew(soonest = SOONEST) {
  const spread = soonest > SOONEST ? Math.random() * SOONEST : 0;
  planned ??= setTimeout(
    async () => {
      planned = null;
      last = Date.now();
      await renewNow();
    },
    Math.max(spread, last + soonest + spread - Date.now()),
  );
}

async function renewNow() {
  if (document.hidden) {
    return;
  }
  let fresh;
  try {
    const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) {
      return;
    }
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // the next change, or the next minute, tries again
  }
  for (const part of document.querySelectorAll("[data-gs-live]")) {
    const now = fresh.getElementById(part.id);
    if (now && !isInUse(part) && now.innerHTML !== part.innerHTML) {
      part.replaceChildren(...now.childNodes);
      part.dispatchEvent(new CustomEvent("gs-renewed", { bubbles: true }));
    }
  }
}

function isInUse(part) {
  return part.contains(document.activeElement) || part.querySelector("details[open]") !== null;
}
