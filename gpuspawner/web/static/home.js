// The home page stays true while it is open: time and cost run on, and what the hub says anew replaces what it said.

import { call } from "./lib/api.js";
import { left, units } from "./lib/words.js";

const SOON = 3_000;
const NOW_AND_THEN = 60_000;
const PARTS = ["#gs-servers", "#gs-budgets"];

let drawn = Date.now();
let timer = null;
let asking = false;

function start() {
  setInterval(tick, 1_000);
  document.addEventListener("visibilitychange", () => !document.hidden && renew());
  document.addEventListener("gs-notice", renew);
  document.addEventListener("submit", send);
  document.addEventListener("toggle", closeOthers, true);
  plan();
}

// Seconds and service units go on from what the hub said last.
function tick() {
  const passed = (Date.now() - drawn) / 1000;
  for (const element of document.querySelectorAll("[data-gs-left]")) {
    fill(element, left(element.dataset.gsLeft - passed));
  }
  for (const element of document.querySelectorAll("[data-gs-cost]")) {
    const { gsCost, gsHourly, gsMost } = element.dataset;
    fill(element, units(Math.min(Number(gsCost) + (gsHourly * passed) / 3600, Number(gsMost) || Infinity)));
  }
}

function plan() {
  clearTimeout(timer);
  timer = setTimeout(renew, document.querySelector("[data-gs-moves]") ? SOON : NOW_AND_THEN);
}

// The page as the hub would show it now; what somebody is about to do is not taken from under their hands.
async function renew() {
  plan();
  if (document.hidden || asking || busy()) {
    return;
  }
  asking = true;
  try {
    const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
    if (answer.ok && !answer.redirected && !busy()) {
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    }
  } catch {
    // the hub cannot be reached now; the next time it may
  } finally {
    asking = false;
    plan();
  }
}

function replace(fresh) {
  for (const part of PARTS) {
    const [now, then] = [document.querySelector(part), fresh.querySelector(part)];
    if (now && then) {
      now.replaceWith(document.adoptNode(then));
    }
  }
  drawn = Date.now();
  tick();
}

function busy() {
  const servers = document.querySelector("#gs-servers");
  return Boolean(servers.contains(document.activeElement) || servers.querySelector("details[open], [aria-busy]"));
}

// More time without leaving the page.
async function send(event) {
  const form = event.target;
  const by = event.submitter?.value;
  if (!form.matches(".gs-extend") || !by || form.ariaBusy) {
    form.ariaBusy = form.matches("#gs-servers form") ? "true" : form.ariaBusy;
    return;
  }
  event.preventDefault();
  const card = form.closest("[data-gs-server]");
  const server = card.dataset.gsServer;
  const { jhdata } = window;
  form.ariaBusy = "true";
  try {
    await call("POST", ["sessions", jhdata.user, ...(server ? [server] : []), "extend"], { by: Number(by) });
    event.submitter.blur();
  } catch (error) {
    tellIn(card, error.message);
  } finally {
    form.removeAttribute("aria-busy");
  }
  await renew();
  document.querySelector(`#${CSS.escape(card.id)} .gs-extend button`)?.focus();
}

function tellIn(card, sentence) {
  const told = card.querySelector("[data-gs-told]") ?? document.createElement("p");
  told.dataset.gsTold = "";
  told.className = "alert alert-warning mb-0";
  told.role = "alert";
  told.textContent = sentence;
  card.append(told);
}

function closeOthers(event) {
  if (event.target.open && event.target.matches(".gs-confirm")) {
    for (const other of document.querySelectorAll(".gs-confirm[open]")) {
      other.open = other === event.target;
    }
    event.target.querySelector("button").focus();
  }
}

function fill(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

start();
