// The help: keys, what answers which question, and every name with its unit and meaning, as the gateway declares them.

import { el } from "./words.js";

const KEYS = [
  ["space", "play or pause"], [".", "one second ahead"], ["← →", "a day: to the touch before, after"], ["h", "what the colours show: resting, traded, pulled, added"],
  ["1 … 9", "the card of a level, from the highest"], ["c", "the chart"], ["d", "choose a date"], ["l", "the latest: the running date"], ["t", "dark or light"], ["?", "this help"], ["esc", "close"],
];
const QUESTIONS = [
  ["What is this level?", "The line below its name on its card."],
  ["Why is the score 78?", "The table on its card: each part from 0 (bounce) to 100 (break), and its points of the score; behind it the numbers that it comes from."],
  ["What would change its mind?", "Below the table: which value of which part would tell BREAK or REJECT."],
  ["How often did this work before?", "On the card “Touches most like this one”; for all touches “What came of it before”: by level, and by the odds that were given, out of sample."],
  ["Is this live?", "The badge at the top: LIVE, REPLAY or DAY."],
  ["Is it fresh?", "Age at the top, since the market's clock moved. STALE appears after 2 s without news; the line below the header says why."],
];

export function fill(dialog, tables) {
  const close = el("button", { onclick: () => dialog.close() }, "close");
  const meanings = tables["levels.signals"].map(({ name, unit, meaning }) => el("tr", {}, el("td", {}, name), el("td", {}, unit), el("td", {}, meaning)));
  const states = Object.entries(tables.rules.states).map(([word, meaning]) => el("tr", {}, el("td", {}, word), el("td", {}, meaning)));
  const pairs = (list, tag) => list.map(([a, b]) => el("tr", {}, el("th", {}, tag ? el(tag, {}, a) : a), el("td", {}, b)));
  dialog.replaceChildren(
    el("div.bar", {}, el("h2", {}, "Help"), el("span.space"), close),
    el("h2", {}, "Questions"), el("table", {}, el("tbody", {}, ...pairs(QUESTIONS))),
    el("h2", {}, "Keys"), el("table", {}, el("tbody", {}, ...pairs(KEYS, "kbd"))),
    el("h2", {}, "States"), el("table", {}, el("tbody", {}, ...states)),
    el("h2", {}, "Names, units, meanings"), el("table", {}, el("tbody", {}, ...meanings)),
  );
}
