// A card for each level.

import { ask } from "./gateway.js";
import { byId, el, number, percent, price, rows, say, table, time } from "./words.js";

const PARTS = [ // of the score: weight, facts in words around their number
	["barrier", "liquidity", { state: "", turnover: "turnover #", replenishment_ratio: "refilled # ×", delta_liq: "change # lots", wall_ratio: "# × usual size" }],
	["fuel", "hedge", { effect: "", exposure: "# lots/pt" }],
	["tape", "tape", { imbalance: "aggression #", velocity: "# pt/s", rate: "# × usual rate", prints: "# prints", sweep: "sweep #" }],
];
const odd = (p) => (p > 0.995 ? "> 99 %" : p < 0.005 ? "< 1 %" : percent(p));
const plain = (one) => (one === "CHOP" ? "neither" : one.toLowerCase());
const NONE = "No level yet: the first hold from the open, the opening range from its end.";

export class Cards {
	/** `rules`: of the score; `meanings`: of the payload's names. */
	constructor(place, rules, meanings) {
		Object.assign(this, { place, rules, meanings, cards: new Map() });
	}

	/** Of a payload, the highest price first. */
	update(payload, market, state) {
		const shown = new Map();
		for (const level of (payload?.levels ?? []).toSorted((a, b) => b.price - a.price)) {
			const id = shown.has(level.id) ? `${level.id} ${level.touch?.event_id}` : level.id; // one in force, one whose touch still runs
			shown.set(id, this.cards.get(id) ?? new Card(level, this.rules, this.meanings));
			shown.get(id).update(level, market);
		}
		const empty = el("p.card.soft", payload || state === "waiting" ? NONE : "Nothing is known yet.");
		const wanted = shown.size ? [...shown.values()].map(({ root }) => root) : [empty];
		const { children } = this.place;
		if (wanted.length !== children.length || wanted.some((root, i) => root !== children[i])) this.place.replaceChildren(...wanted);
		this.cards = shown;
	}

	focus(n) {
		this.place.children[n]?.focus();
	}

	select(kind) {
		for (const card of this.cards.values()) card.root.classList.toggle("selected", card.kind === kind);
	}
}

class Card {
	constructor(level, rules, meanings) {
		Object.assign(this, { rules, meanings, kind: level.id, touch: null, scores: [] });
		this.root = byId("card").content.firstElementChild.cloneNode(true);
		this.root.ariaLabel = level.id;
		this.at = (name) => this.root.querySelector(name);
		this.say = (name, text) => say(this.at(name), text);
		this.set = (name, attribute, value) => this.at(name).setAttribute(attribute, value);
		this.at(".signal").title = meanings.get("levels[].signal");
		this.at("tbody").append(...PARTS.map(([name]) => el("tr", el("th", { title: meanings.get(`levels[].${name}.score`) }, name), el("td.n"), el("td.n"), el("td"))));
		const { reject_to: low, break_from: high } = rules;
		this.set(".dial .low", "stroke-dasharray", `${low} 100`);
		this.set(".dial .high", "stroke-dasharray", `0 ${high} 100`);
		this.set(".trace .low", "d", `M0 ${100 - low}H100`);
		this.set(".trace .high", "d", `M0 ${100 - high}H100`);
		this.at("details").ontoggle = () => this.showAnalogs();
	}

	update(level, market) {
		const { touch } = level;
		const others = level.kinds.filter((kind) => kind !== level.id);
		this.say("h3", `${level.id} ${price(level.price)}`);
		const before = market.touchesOf(level.id);
		this.say(".what", `${this.rules.kinds[level.id] ?? ""}${others.length ? `; near: ${others.join(", ")}` : ""}`);
		this.say(".where", [
			level.distance === null ? "The price is unknown." : `${price(level.distance)} pt ${level.price > market.payload.es.spot ? "above" : "below"} the price.`,
			before.length ? `Touched ${before.length} × today, last at ${time(before.at(-1).t0 / 1e6)}.` : "Not touched today.",
		].join(" "));
		this.root.classList.toggle("near", level.in_band);
		this.at(".touched").hidden = !touch;
		if (!touch) {
			this.say(".signal", "");
			this.touch = null;
			return;
		}
		this.market = market;
		if (touch.event_id !== this.touch) this.begin(touch);
		this.score(level, touch);
		this.explain(level);
		this.tell(level.model, this.row?.[`theta_${this.rules.horizon}`]);
	}

	begin(touch) {
		[this.touch, this.t0, this.scores] = [touch.event_id, touch.t0, []];
		this.at(".analogs").replaceChildren();
		this.at("details").open = false;
		const mine = (told) => touch.event_id === this.touch && (this.scores = rows(told.scores).map((one) => [one.elapsed, one.break_score_smooth]));
		this.ask("scores")?.then(mine, () => {}); // else the trace begins here
	}

	/** Of the touch; undefined before it came. */
	get row() {
		return this.market.touches.find(({ kind, t0 }) => kind === this.kind && t0 === this.t0);
	}

	ask(what) {
		const { row } = this;
		return row && ask(`/api/${what}?date=${this.market.date}&touch=${row.touch}`);
	}

	score(level, touch) {
		const score = level.break_score_smooth;
		this.say(".signal", level.signal === "NEUTRAL" ? "" : level.signal);
		this.at(".signal").className = `signal ${level.signal}`;
		this.say(".state", `From ${level.direction === "UP" ? "below" : "above"}, touch ${touch.attempt} today, ${number(touch.elapsed)} s ago: ${level.note}. Evidence: ${level.confidence.toLowerCase()}.`);
		if (!(this.scores.at(-1)?.[0] >= touch.elapsed)) this.scores.push([touch.elapsed, score]);
		this.say(".dial .number", number(score));
		this.set(".dial", "aria-label", `score ${number(score)} of 100`);
		this.set(".dial .value", "stroke-dasharray", `${score ?? 0} 100`);
		this.at(".dial .value").classList.toggle("more", score >= 50);
		const known = this.scores.filter(([at, one]) => one !== null && at <= touch.elapsed);
		this.set("polyline", "points", known.map(([at, one]) => `${(100 * at) / Math.max(60, touch.elapsed)},${100 - one}`).join(" "));
	}

	explain(level) {
		const { weights, break_from: high, reject_to: low } = this.rules;
		const known = PARTS.filter(([name]) => level[name].score !== null);
		const whole = known.reduce((sum, [, weight]) => sum + weights[weight], 0);
		PARTS.forEach(([name, weight, facts], i) => {
			const values = level[name];
			const [, score, points, cell] = this.at("tbody").rows[i].cells;
			say(score, number(values.score));
			say(points, values.score === null ? "–" : number((values.score * weights[weight]) / whole, 1));
			const told = Object.entries(facts).filter(([fact]) => values[fact]);
			const digits = (value) => (value % 1 && Math.abs(value) < 10 ? 2 : 0);
			say(cell, told.map(([fact, words]) => (words ? words.replace("#", number(values[fact], digits(values[fact]))) : values[fact].toLowerCase())).join(", ") || "unknown");
			cell.title = told.map(([fact]) => `${fact}: ${this.rules.states[values[fact]] ?? this.meanings.get(`levels[].${name}.${fact}`)}`).join("\n");
		});
		const raw = level.break_score_raw;
		const needed = (target) =>
			known.map(([name, weight]) => [name, level[name].score + ((target - raw) * whole) / weights[weight]])
				.filter(([, value]) => value >= 0 && value <= 100).map(([name, value]) => `${name} at ${number(value)}`).join(" or ");
		const way = (target, there) => (there ? "it is there" : needed(target) ? `it takes ${needed(target)}` : "no part alone could do it");
		this.say(".mind", raw === null ? "No part is known: there is no score."
			: `The points add up to ${number(raw)}; the score is that, smoothed over ${this.rules.smooth_seconds} s. What would change its mind? ${this.rules.trigger_seconds} s at ${high} or more say BREAK (${way(high, raw >= high)}), at ${low} or less REJECT (${way(low, raw <= low)}).`);
	}

	/** `theta`: ticks to a break or a bounce. */
	tell(model, theta) {
		const known = model && model.break !== null;
		const odds = this.at(".odds");
		odds.hidden = !known;
		if (!known) return this.say(".said", model ? "Odds unknown: volatility is not known yet." : "No model serves this date: the score stands alone.");
		for (const part of odds.children) part.style.width = `${100 * model[part.className]}%`;
		const interval = model.interval ? ` (analogs: ${model.interval.map((one) => Math.round(100 * one)).join("–")} %)` : "";
		const why = model.veto ? ` No trade: ${this.rules.states[model.veto]}.`
			: model.abstain ? ` It abstains: at 90 % it cannot exclude ${model.set.map(plain).join(", ") || "anything"}.` : "";
		this.say(".said", `Within ${this.rules.outcome_seconds / 60} min, ${price(theta && theta * this.rules.tick)} pt from the level: break ${odd(model.break)}${interval}, bounce ${odd(model.bounce)}, neither ${odd(model.chop)}.${why}`);
		odds.ariaLabel = this.at(".said").textContent;
	}

	async showAnalogs() {
		const place = this.at(".analogs");
		if (!this.at("details").open || place.children.length) return;
		place.replaceChildren(el("p.soft", "looking…"));
		const found = await this.ask("analogs")?.catch((error) => ({ error: `${error.message}.` }));
		if (!found?.outcomes) return place.replaceChildren(el("p.soft", found?.error ?? "This date has no index of earlier touches."));
		const { outcomes, nearest, of, far } = found;
		const line = ({ date, ts, kind, direction, outcome, strength }) => [`${date} ${time(ts / 1e6)}`, `${kind} ${direction.toLowerCase()}`, el("td", el(`span.${outcome}`, plain(outcome))), el("td.n", number(strength, 2, true))];
		place.replaceChildren(
			el("p", `Of ${of} earlier touches most like it ${outcomes.BREAK} broke, ${outcomes.BOUNCE} bounced, ${outcomes.CHOP} did neither.${far ? " None is close." : ""} The nearest (net: farthest through less farthest back):`),
			table(["when", "level", "came", "net, pt"], nearest.map(line)),
		);
	}
}
