// What came of the touches of earlier dates.

import { el, number, percent, table } from "./words.js";

const FEW = 20;

export function fill(place, found, rules) {
	if (!found.dates) {
		place.replaceChildren(el("p.soft", "No earlier date has outcomes in the lake yet."));
		return;
	}
	const cell = (share, word, few) => {
		const bar = el(`i.share.${word}`);
		bar.style.width = `${4 * share}rem`;
		return el(few ? "td.few" : "td", bar, ` ${percent(share)}`);
	};
	const line = (title, one) => [title, el("td.n", number(one.touches)), ...["break", "bounce", "chop"].map((word) => cell(one[word] / one.touches, word, one.touches < FEW))];
	const shares = (caption, first, lines) => el("div", el("p.soft", caption), table([first, "touches", "broke", "bounced", "neither"], lines));
	const odds = found.odds.filter(({ touches }) => touches);
	place.replaceChildren(
		el("p", `Of all touches on the ${found.dates} dates before ${found.before}, the share that went through the level, came back, or did neither within ${rules.outcome_seconds / 60} min. Pale: fewer than ${FEW} touches say little.`),
		el("div.two",
			shares("By level:", "level", found.levels.map((one) => line(one.kind, one))),
			odds.length
				? shares(`By the odds of a break that ${found.champion} gave at the touch, on ${found.told} of them. Good odds: the share that broke lies in the range they name.`, "odds", odds.map((one) => line(`${Math.round(100 * one.low)}–${percent(one.high)}`, one)))
				: el("p.soft", "No odds were given: no model served these dates.")),
	);
}
