// The page: one market, told by the stream or by the lake; what is new is drawn once a frame.

import { Cards } from "./cards.js";
import { Chart } from "./chart.js";
import { DayView } from "./day.js";
import { draw as drawDealers } from "./dealers.js";
import { Refused, Stream, ask, token } from "./gateway.js";
import { fill as fillHelp } from "./help.js";
import { Market } from "./market.js";
import { fill as fillRecord } from "./record.js";
import { Bar } from "./replay.js";
import { notice } from "./states.js";
import { date as dateOf, number, say, time, useTheme, useZone } from "./words.js";

const byId = (id) => document.getElementById(id);
const LIVE_MS = 60_000; // the market's clock is not farther from this machine's where it is live
const LOOK_MS = 2000; // between two questions whether all is well

// `state`: of the connection, else what went wrong; `moved`: when the market's clock did; `frames`, `slow`: drawn, over 50 ms
const page = { state: "loading", reason: null, ready: null, trouble: null, moved: 0, clock: null, day: null, stream: null, frames: 0, slow: 0 };
let market, chart, cards, bar, waiting;

// ---- what is shown ----

const age = () => (performance.now() - page.moved) / 1000;

/** In which of the states that states.js words the page is. */
function condition() {
  if (page.state !== "connected") return page.state;
  if (page.day) return "day";
  const { session, status, payload } = market;
  if (!session) return "empty";
  if (status?.state === "done") return "ended";
  if (page.ready && !page.ready.ok) return "degraded";
  if (status?.replay?.paused) return "paused";
  if (age() > market.rules.stale_seconds) return "stale";
  return payload ? "fresh" : "waiting";
}

function render() {
  const state = condition();
  const { session, status, payload, now } = market;
  const shown = page.day ? page.day.ms : now;
  const live = now && Math.abs(Date.now() - now) < LIVE_MS && !status?.replay;
  const { spot, bid, ask: offer } = payload?.es ?? {};
  const model = page.day ? page.day.model : session?.model;
  document.body.dataset.state = state;
  const { words, bad } = notice(state, page, market, Math.round(age()));
  say(byId("notice"), words);
  byId("notice").classList.toggle("bad", bad);
  byId("stale").hidden = !["stale", "degraded", "disconnected"].includes(state);
  byId("token-form").hidden = state !== "token";
  say(byId("mode"), page.day ? "DAY" : !session ? "…" : live ? "LIVE" : "REPLAY");
  say(byId("contract"), session?.contract.split(" ")[0] ?? "");
  say(byId("clock"), shown ? `${dateOf(shown)} ${time(shown)}` : time(null));
  say(byId("price"), spot == null ? "" : `${number(spot, 2)}  ${number(bid, 2)} / ${number(offer, 2)}`);
  say(byId("age"), `age ${page.day || !session ? "–" : number(age(), 1)} s`);
  say(byId("gaps"), `gaps ${number(payload?.quality.gaps)}, late ${number(payload?.quality.late)}`);
  say(byId("model"), session ? `Model: ${model || "none serves this date; geometry and the score stand"}` : "");
  chart.wanted = new Set((payload?.levels ?? []).map(({ id }) => id));
  chart.moment = null;
  chart.update();
  if (!page.day) bar.follow(status?.replay ?? null);
  else if (state === "day") {
    bar.shown(page.day);
    chart.reveal(page.day.ms);
  }
  cards.update(payload, market);
  drawDealers(byId("gamma"), byId("dealers"), market);
}

/** Draw soon: once a frame, however much comes. */
function changed() {
  waiting ??= requestAnimationFrame((began) => {
    waiting = null;
    render();
    page.frames += 1;
    page.slow += performance.now() - began > 50;
  });
}

function failed(error) {
  const { status } = error;
  page.state = status === 401 ? "token" : status === 403 || status === 400 ? "refused" : error instanceof Refused ? "failed" : "disconnected";
  page.reason = error.message;
  changed();
}

// ---- where it comes from ----

function heard(message) {
  market.hear(message);
  if (market.now !== page.clock) [page.clock, page.moved] = [market.now, performance.now()];
  if (message.type === "snapshot" && market.session) {
    page.trouble = null;
    fetchHeat();
    fetchRecord();
  } else if (message.type === "flow" && market.lacksHeat) fetchHeat();
  changed();
}

async function fetchHeat() {
  if (page.heating) return;
  page.heating = true;
  const { epoch } = market;
  const told = await ask(`/api/heat?date=${market.date}&after=${market.heatUntil}`).catch(() => null); // asked again with the next minute
  page.heating = false;
  if (told && epoch === market.epoch) market.takeHeat(told.heat);
  changed();
}

async function fetchRecord() {
  if (page.recorded === market.date) return;
  page.recorded = market.date;
  const found = await ask(`/api/record?date=${market.date}`).catch(({ message }) => say(byId("record-body"), message));
  if (found) fillRecord(byId("record-body"), found, market.rules);
}

/** Leave what is shown, for the stream or a day. */
function leave(address) {
  page.stream?.close();
  page.day?.close();
  Object.assign(page, { stream: null, day: null, state: "loading", ready: null, trouble: null });
  market.clear();
  bar.walk(null);
  history.replaceState(null, "", address);
  changed();
}

function showLatest() {
  leave(location.pathname);
  page.stream = new Stream(heard, (state, reason) => {
    Object.assign(page, { state, reason });
    changed();
  });
  page.stream.connect();
}

async function showDay(date, ms) {
  leave(`?date=${date}`);
  const day = new DayView(date, market, changed, failed);
  page.day = day;
  try {
    await day.open(ms);
  } catch (error) {
    failed(error);
    return;
  }
  if (page.day !== day) return;
  page.state = "connected";
  bar.walk(day);
  fetchRecord();
  changed();
}

async function look() {
  if (page.stream && page.state === "connected") page.ready = await ask("/readyz").catch(() => null); // if nobody answers the stream tells
}

async function fetchDates(chosen) {
  const { running, dates } = await ask("/api/dates");
  byId("date").replaceChildren(new Option(`running: ${running ?? "none"}`, ""), ...dates.toReversed().map((date) => new Option(date, date)));
  byId("date").value = chosen;
}

// ---- what the user does ----

const KEYS = {
  " ": () => bar.play(),
  ".": () => bar.step(),
  ArrowLeft: () => page.day?.neighbour(-1),
  ArrowRight: () => page.day?.neighbour(1),
  h: () => chart.show(),
  c: () => byId("chart").focus(),
  d: () => byId("date").focus(),
  l: showLatest,
  t: () => theme(document.documentElement.dataset.theme === "light" ? "dark" : "light"),
  "?": () => byId("help").showModal(),
};

function theme(name) {
  useTheme(name);
  localStorage.setItem("spymaster.theme", name);
  chart.paint();
  changed();
}

/** A touch was chosen in the chart. */
function picked(touch) {
  chart.selected = touch.touch;
  cards.select(touch.kind);
  page.day?.go(touch.k);
  changed();
}

function listen() {
  byId("theme").onclick = KEYS.t;
  byId("help-open").onclick = KEYS["?"];
  byId("date").onchange = ({ target }) => (target.value ? showDay(target.value) : showLatest());
  document.onkeydown = (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || /INPUT|SELECT/.test(target.tagName) || byId("help").open) return;
    if (key === " " && /BUTTON|SUMMARY/.test(target.tagName)) return;
    if (/^[1-9]$/.test(key)) cards.focus(key - 1);
    else if (KEYS[key]) KEYS[key]();
    else return;
    event.preventDefault();
  };
  window.onresize = changed;
  setInterval(changed, 500);
  setInterval(look, LOOK_MS);
}

async function start() {
  useTheme(localStorage.getItem("spymaster.theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
  byId("token-form").onsubmit = (event) => {
    event.preventDefault();
    token.set(byId("token").value.trim());
    location.reload();
  };
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) token.set(given);
  const query = new URLSearchParams(location.search);
  try {
    const tables = await ask("/api/tables");
    useZone(tables.rules.zone);
    market = new Market(tables.rules);
    chart = new Chart(byId("chart"), byId("heat-scale"), byId("heat-modes"), market, picked);
    cards = new Cards(byId("levels"), tables.rules, new Map(tables["levels.signals"].map(({ name, unit, meaning }) => [name, `${meaning} [${unit}]`])));
    bar = new Bar((trouble) => {
      page.trouble = trouble;
      changed();
    });
    fillHelp(byId("help"), tables);
  } catch (error) {
    refused(error);
    return;
  }
  listen();
  const date = query.get("date") ?? "";
  if (date) showDay(date, Number(query.get("at")));
  else showLatest();
  fetchDates(date).catch(failed);
}

/** Not even the names could be read: before there is anything to draw. */
function refused(error) {
  const wanted = error.status === 401;
  document.body.dataset.state = wanted ? "token" : error instanceof Refused ? "refused" : "disconnected";
  byId("token-form").hidden = !wanted;
  byId("notice").className = "bad";
  say(byId("notice"), wanted ? `The gateway wants a token: ${error.message}.` : error instanceof Refused ? `The gateway refuses: ${error.message}.` : "The gateway does not answer. Trying again…");
  if (!(error instanceof Refused)) setTimeout(start, LOOK_MS);
}

window.spymaster = { page, at: () => ({ market, chart, cards }) }; // for whoever looks behind it
start();
