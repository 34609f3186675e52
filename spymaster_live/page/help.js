// The help: what answers which question, keys, and every name as the gateway declares it.

import { el, table } from "./words.js";

const KEYS = [
	["space", "play or pause"], [".", "one second ahead"], ["← →", "to the touch before, after"], ["+ − [ ]", "the chart: fewer, more minutes; earlier, later"],
	["h", "what the colours show"], ["1 … 9", "the card of a level, from the highest"], ["c", "the chart"], ["d", "choose a date"], ["l", "the latest: the running date"],
	["t", "dark or light"], ["?", "this help"], ["esc", "close"],
];
const QUESTIONS = [
	["What is this level?", "The line below its name on its card."],
	["Why is the score 78?", "The table on its card: each part from 0 (bounce) to 100 (break), its points, and what they come from."],
	["What would change its mind?", "Below that table: what BREAK or REJECT would take."],
	["How often did this work before?", "On the card “Touches most like this one”; of all touches “What came of it before”."],
	["Is this live?", "The badge at the top: LIVE, REPLAY or DAY."],
	["Is it fresh?", "Age at the top, since the market's clock moved. STALE appears after 2 s; the line below the header says why."],
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
