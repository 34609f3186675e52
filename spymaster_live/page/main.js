// One market, told by the stream or the lake, drawn once a frame.

import { Cards } from "./cards.js";
import { Chart } from "./chart.js";
import { DayView } from "./day.js";
import { draw as drawDealers } from "./dealers.js";
import { Stream, ask, stateOf, token } from "./gateway.js";
import { fill as fillHelp } from "./help.js";
import { Market } from "./market.js";
import { fill as fillOutcomes } from "./outcomes.js";
import { Bar } from "./replay.js";
import { notice } from "./states.js";
import { byId, date as dateOf, number, price, say, time, useTheme, useZone, zone } from "./words.js";

const LIVE_MS = 60_000; // the market's clock behind ours, at most
const LOOK_MS = 2000; // between two looks

// `state`: of the connection, or what went wrong; `moved`: when the clock did
const page = { state: "loading", reason: null, ready: null, trouble: null, moved: 0, clock: null, day: null, stream: null };
let market = null, chart, cards, bar, waiting;

const age = () => (performance.now() - page.moved) / 1000;

/** By how much a replay leads its engine, s. */
const lag = () => (market?.now && market.status?.replay ? (market.status.replay.position / 1e6 - market.now) / 1000 : 0);

function condition() {
	if (page.state !== "connected") return page.state;
	const { session, status, payload } = market;
	if (page.day) return payload ? "day" : "loading";
	if (!session) return "empty";
	if (status?.state === "done") return "ended";
	if (page.ready && !page.ready.ok) return "degraded";
	if (lag() > Math.max(60, 2 * status?.replay?.speed)) return "behind";
	if (status?.replay?.paused) return "paused";
	if (age() > market.rules.stale_seconds) return "stale";
	return payload ? "fresh" : "waiting";
}

function render() {
	const state = condition();
	const { day } = page;
	const { words, bad } = notice(state, page, market, Math.round(age()), lag());
	document.body.dataset.state = state;
	say("notice", words);
	byId("notice").classList.toggle("bad", bad);
	byId("stale").hidden = !["stale", "degraded", "disconnected"].includes(state);
	byId("token-form").hidden = state !== "token";
	if (!market) return;
	const { session, status, payload, now } = market;
	const { spot, bid, ask: offer } = payload?.es ?? {};
	const shown = day ? day.ms : now;
	const live = now && Math.abs(Date.now() - now) < LIVE_MS && !status?.replay;
	const model = day ? day.model : session?.model;
	say("mode", day ? "DAY" : !session ? "…" : live ? "LIVE" : "REPLAY");
	say("contract", session?.contract.split(" ")[0] ?? "");
	say("clock", shown ? `${dateOf(shown)} ${time(shown)} ${zone}` : time(null));
	say("price", spot == null ? "" : `${price(spot)} (${price(bid)} / ${price(offer)})`);
	say("age", day || !session || state === "behind" ? "" : `age ${number(age(), 1)} s`);
	say("gaps", payload ? `gaps ${number(payload.quality.gaps)}, late ${number(payload.quality.late)}` : "");
	say("model", session ? `Model: ${model || "none serves this date; geometry and the score stand"}` : "");
	chart.wanted = new Set((payload?.levels ?? []).map(({ id }) => id));
	chart.update();
	chart.look(day?.ms ?? null);
	bar.follow(day?.ms ? day : null, day ? null : status?.replay);
	cards.update(payload, market, state);
	drawDealers(byId("gamma"), byId("dealers"), market);
}

/** Draw once a frame, however much comes. */
function changed() {
	waiting ??= requestAnimationFrame(() => {
		waiting = null;
		render();
	});
}

/** A day is read again once somebody answers. */
function failed(error) {
	const { day } = page;
	[page.state, page.reason] = [stateOf(error), error.message];
	clearTimeout(page.timer);
	const again = () => page.day === day && ask("/healthz").then(() => showDay(day.date, day.ms), failed);
	if (day && page.state === "disconnected") page.timer = setTimeout(again, LOOK_MS);
	changed();
}

function heard(message) {
	market.hear(message);
	if (market.now !== page.clock) [page.clock, page.moved] = [market.now, performance.now()];
	if (message.type === "snapshot") {
		page.trouble = null;
		fetchDates();
		if (market.session) {
			fetchHeat();
			fetchOutcomes();
		}
	} else if (market.minutes > page.minute) fetchHeat();
	changed();
}

async function fetchHeat() {
	const { epoch, date, heatUntil } = market;
	page.minute = market.minutes;
	const told = await ask(`/api/heat?date=${date}&after=${heatUntil}`).catch(() => null);
	if (told && epoch === market.epoch) market.takeHeat(told.heat);
	changed();
}

async function fetchOutcomes() {
	if (page.asked === market.date) return;
	page.asked = market.date;
	const found = await ask(`/api/outcomes?date=${market.date}`).catch(({ message }) => say("past", `Not to be had: ${message}.`));
	if (found) fillOutcomes(byId("past"), found, market.rules);
	else page.asked = null;
}

/** Leave what is shown, for the stream or a day. */
function leave(address) {
	page.stream?.close();
	page.day?.close();
	Object.assign(page, { stream: null, day: null, state: "loading", ready: null, trouble: null });
	market.clear();
	history.replaceState(null, "", address);
	changed();
}

function showLatest() {
	leave(location.pathname);
	page.stream = new Stream(heard, (state, reason) => {
		Object.assign(page, { state, reason, ready: null });
		changed();
	});
	page.stream.connect();
}

/** A day of the lake, at `ms` UTC or its first touch. */
async function showDay(date, ms) {
	leave(`?date=${date}`);
	const day = new DayView(date, market, (error) => {
		if (error) return failed(error);
		page.state = "connected";
		changed();
	});
	page.day = day;
	fetchDates();
	await day.open(ms).catch((error) => {
		if (page.day === day) failed(error);
		day.close();
	});
	if (page.day === day && market.session) fetchOutcomes();
}

async function fetchDates() {
	const { running, dates, simulated } = await ask("/api/dates").catch(() => ({ dates: [] }));
	page.simulated = simulated;
	byId("date").replaceChildren(new Option(`running: ${running ?? "none"}`, ""), ...dates.toReversed().map((date) => new Option(date, date)));
	byId("date").value = page.day?.date ?? "";
}

const KEYS = {
	" ": () => bar.play(),
	".": () => bar.step(),
	ArrowLeft: () => neighbour(-1),
	ArrowRight: () => neighbour(1),
	"+": () => chart.zoom(0.7),
	"-": () => chart.zoom(1 / 0.7),
	"[": () => chart.zoom(1, -0.2),
	"]": () => chart.zoom(1, 0.2),
	h: () => chart.show(),
	c: () => byId("chart").focus(),
	d: () => byId("date").focus(),
	l: showLatest,
	t: () => {
		const name = document.documentElement.dataset.theme === "light" ? "dark" : "light";
		localStorage.setItem("spymaster.theme", name);
		useTheme(name);
		chart.paint();
		changed();
	},
	"?": () => byId("help").showModal(),
};

function picked(touch) {
	chart.selected = touch.touch;
	cards.select(touch.kind);
	page.day?.go(touch.k);
	changed();
}

/** The touch before or after a day's moment, else the chosen one. */
function neighbour(step) {
	const { touches } = market;
	const at = page.day?.k ?? touches.find(({ touch }) => touch === chart.selected)?.k ?? Infinity;
	const next = step > 0 ? touches.find(({ k }) => k > at) : touches.findLast(({ k }) => k < at);
	if (next) picked(next);
}

function listen() {
	byId("theme").onclick = KEYS.t;
	byId("help-open").onclick = KEYS["?"];
	byId("date").onchange = ({ target }) => (target.value ? showDay(target.value) : showLatest());
	document.onkeydown = (event) => {
		const { key, target: { tagName } } = event;
		if (event.ctrlKey || event.altKey || event.metaKey || /INPUT|SELECT/.test(tagName) || byId("help").open || (key === " " && /BUTTON|SUMMARY/.test(tagName))) return;
		if (/^[1-9]$/.test(key)) cards.focus(key - 1);
		else if (KEYS[key]) KEYS[key]();
		else return;
		event.preventDefault();
	};
	setInterval(changed, 500);
	setInterval(async () => {
		if (page.stream && page.state === "connected") page.ready = await ask("/readyz").catch(() => null);
	}, LOOK_MS);
}

/** Names and rules first: without them nothing can be drawn. */
async function start() {
	const tables = await ask("/api/tables").catch(failed);
	if (!tables) return page.state !== "token" && setTimeout(start, LOOK_MS);
	useZone(tables.rules);
	market = new Market(tables.rules);
	chart = new Chart(byId("chart"), byId("heat-scale"), byId("heat-modes"), market, picked);
	cards = new Cards(byId("levels"), tables.rules, new Map(tables["levels.signals"].map(({ name, unit, meaning }) => [name, `${meaning} [${unit}]`])));
	bar = new Bar((trouble) => {
		page.trouble = trouble;
		changed();
	});
	fillHelp(byId("help"), tables);
	listen();
	const query = new URLSearchParams(location.search);
	if (query.get("date")) showDay(query.get("date"), Number(query.get("at")));
	else showLatest();
}

useTheme(localStorage.getItem("spymaster.theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
byId("token-form").onsubmit = (event) => {
	event.preventDefault();
	token.set(byId("token").value.trim());
	location.reload();
};
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) token.set(given);
history.replaceState(null, "", location.pathname + location.search); // no token stays in the address
window.spymaster = { page, at: () => ({ market, chart, cards }) };
start();
