// The hub's REST API, as a page of it calls it.

const { jhdata } = JSON.parse(document.getElementById("gs-hub").textContent);

/** The hub's own path, such as "/hub/". */
export const hub = jhdata.base_url;

/** What the hub wants to see with every request that a page makes. */
export const xsrf = jhdata.xsrf_token;

/** A request that was refused: why, and what to do next. */
export class Refused extends Error {
  constructor({ reason, remedy = "", code = "error", ...more }, status) {
    super(`${reason} ${remedy}`.trim());
    Object.assign(this, { reason, remedy, code, status, more });
  }
}

/** Where something below /hub/api/gpuspawner/ is; parts of the path are quoted, `query` leaves out what is null. */
export function url(path, query = {}) {
  const found = new URL(`${hub}api/gpuspawner/${[path].flat().map(encodeURIComponent).join("/")}`, window.location);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) {
      found.searchParams.append(name, value);
    }
  }
  return found;
}

/**
 * Ask the API: `call("POST", ["sessions", user, server, "extend"], { by: "1h" })`. A path may be one word or its parts.
 * Returns the JSON of the answer, null without one; throws `Refused`.
 */
export async function call(method, path, body, { query, signal } = {}) {
  const headers = { Accept: "application/json", "X-XSRFToken": xsrf };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(url(path, query), { method, headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new Refused({ reason: "The hub cannot be reached.", remedy: "Try again in a moment.", code: "offline" }, 0);
  }
  const text = await answer.text();
  const told = parsed(text);
  if (answer.ok) {
    return told;
  }
  const said = told?.reason ? told : { reason: told?.message ?? `The hub answered ${answer.status}.` };
  throw new Refused({ remedy: "Reload this page and try again.", ...said }, answer.status);
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
