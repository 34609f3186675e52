// Questions, keys, states, names.

import { el, table } from "./words.js";

const KEYS = [
	["space", "play or pause"], [".", "one second ahead"], ["← →", "to the touch before, after"], ["+ − [ ]", "the chart: fewer, more minutes; earlier, later"],
	["h", "what the colours show"], ["1 … 9", "the card of a level, from the highest"], ["c", "the chart"], ["d", "choose a date"], ["l", "the running date"],
	["t", "dark or light"], ["?", "this help"], ["esc", "close"],
];
const QUESTIONS = [
	["What is this level?", "The line below its name on its card."],
	["Why is the score 78?", "The table on its card: each part from 0 (bounce) to 100 (break), and its points."],
	["What would change its mind?", "The line below that table."],
	["How often did this work before?", "“Touches most like this one” on its card; “What came of it before”."],
	["Which level now?", "The one with an amber edge: the price is at it."],
	["May I trust it?", "Odds as far as “What came of it before” bears them out; the score is a rule. Not when STALE or abstaining."],
	["Is this live?", "The badge at the top: LIVE, REPLAY or DAY."],
	["Is it fresh?", "Age at the top; STALE after 2 s, and the line below the header says why."],
];

export function fill(dialog, tables) {
	const parts = [
		["Questions", ["question", "answer"], QUESTIONS],
		["Keys", ["key", "does"], KEYS.map(([key, what]) => [el("td", el("kbd", key)), what])],
		["States", ["word", "meaning"], Object.entries(tables.rules.states)],
		["Names", ["name", "unit", "meaning"], tables["levels.signals"].map(({ name, unit, meaning }) => [name, unit, meaning])],
	];
	dialog.replaceChildren(
		el("div.bar", el("h2", "Help"), el("span.space"), el("button", { onclick: () => dialog.close() }, "close")),
		...parts.flatMap(([title, heads, lines]) => [el("h2", title), table(heads, lines)]),
	);
}
