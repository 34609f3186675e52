// Dealers' gamma by strike, around the price.

import { el, number, price, say } from "./words.js";

export function draw(place, sentence, { dealers, strikes, book, rules: { reach, step, ...rules } }) {
	const mid = book && book.mid2 !== null ? (book.mid2 * rules.tick) / 2 : null;
	const text = tell(dealers, mid, rules);
	if (place.strikes === strikes && place.ariaLabel === text) return;
	Object.assign(place, { strikes, ariaLabel: text });
	say(sentence, text);
	const near = mid === null ? [] : strikes.map(({ strike, exposure }) => [strike / 1e9, exposure]).filter(([strike, exposure]) => exposure !== null && Math.abs(strike - mid) < reach);
	const most = Math.max(...near.map(([, exposure]) => Math.abs(exposure)));
	const at = (points, kind, words) => {
		const node = el(`span.${kind}`, words);
		node.style.left = `${50 + (50 * (points - mid)) / reach}%`;
		return node;
	};
	const bars = near.map(([strike, exposure]) => {
		const bar = at(strike, exposure < 0 ? "break" : "bounce", "");
		bar.style.height = `${(40 * Math.abs(exposure)) / most}%`;
		return bar;
	});
	const ticks = near.filter(([strike]) => !(Math.round(strike / step) % 5)).map(([strike]) => at(strike, "tick", strike.toLocaleString("en")));
	const marks = near.length ? [[mid, "price"], [dealers.flip, "flip"], [dealers.wall_above / 1e9, "wall"], [dealers.wall_below / 1e9, "wall"]] : [];
	place.replaceChildren(...bars, ...ticks, ...marks.filter(([points]) => points && Math.abs(points - mid) < reach).map(([points, word]) => at(points, `mark.${word}`, word)));
}

function tell(dealers, mid, { states }) {
	if (!dealers || dealers.effect === "UNKNOWN" || mid === null) return "Unknown: today's options do not tell yet, or they are not there.";
	const { effect, exposure, flip } = dealers;
	const walls = ["above", "below"].filter((side) => dealers[`wall_${side}`]).map((side) => `${(dealers[`wall_${side}`] / 1e9).toLocaleString("en")} ${side}`);
	return `At ${price(mid)} ${effect === "NEUTRAL" ? "dealers hardly trade with or against a move" : states[effect]}: ${number(Math.abs(exposure), 1)} contracts ${exposure < 0 ? "with" : "against"} each point. `
		+ `${walls.length ? `They dampen most at ${walls.join(" and ")}. ` : ""}${flip === null ? "No flip is near." : `It turns at ${price(flip)}.`}`;
}
