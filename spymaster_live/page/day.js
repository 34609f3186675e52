// A day of the lake, asked for moment by moment.

import { ask } from "./gateway.js";
import { time } from "./words.js";

const TURN_MS = 250; // of a moment while it plays

export class DayView {
	/** `told(error)`: something came or not. `waits`: for what. */
	constructor(date, market, told) {
		Object.assign(this, { date, market, told, waits: ["prices", "touches", "models"], playing: false, speed: 10, second: Math.round(1000 / market.rules.snap_ms) });
	}

	/** One thing of the date; null once the day is left. */
	async load(what, path) {
		if (what && !this.waits.includes(what)) this.waits.push(what);
		const found = await ask(path);
		this.waits = this.waits.filter((one) => one !== what);
		if (this.closed) return null;
		this.told();
		return found;
	}

	/** Read the day; then stand at `ms` UTC, else at its first touch. */
	async open(ms) {
		const { market, date } = this;
		const [prices, touches, { champion, models }] = await Promise.all(
			[["prices", "bars"], ["touches", "touches"], ["models", "models"]].map(([what, path]) => this.load(what, `/api/${path}?date=${date}`)));
		if (this.closed) return;
		market.session = { date, contract: "" };
		market.takeRows({ ...touches, bars: prices.bars });
		if (!market.bars.length) throw new Error(`the lake has no prices of ${date}`);
		this.model = models[champion.name] ? `${champion.name} ${models[champion.name].content}` : null;
		[this.from, this.to] = [this.second, market.bars.at(-1).k];
		this.go(ms ? (ms - market.openMs) / market.rules.snap_ms : (market.touches[0]?.k ?? this.to));
		this.load("liquidity", `/api/heat?date=${date}`).then((found) => found && market.takeHeat(found.heat), this.told);
	}

	/** Ms UTC of the moment, if known. */
	get ms() {
		return this.k ? this.market.openMs + this.k * this.market.rules.snap_ms : null;
	}

	/** To HH:MM[:SS]. */
	seek(text) {
		const seconds = (clock) => clock.split(":").reduce((sum, part, i) => sum + part * 60 ** (2 - i), 0);
		this.go(this.k + (seconds(text) - seconds(time(this.ms))) * this.second);
	}

	go(k) {
		this.k = Math.min(this.to, Math.max(this.from, Math.round(k)));
		this.show();
	}

	toggle() {
		this.playing = !this.playing;
		clearInterval(this.timer);
		const turn = () => (this.k < this.to ? this.go(this.k + (this.speed * this.second * TURN_MS) / 1000) : this.toggle());
		if (this.playing) this.timer = setInterval(turn, TURN_MS);
		this.told();
	}

	close() {
		this.closed = true;
		clearInterval(this.timer);
	}

	/** Ask for the moment; of wishes meanwhile the latest waits. */
	async show() {
		this.again = this.asking;
		if (this.asking) return;
		this.asking = true;
		const take = (found) => found && ["signals", "flow"].forEach((topic) => this.market.take(topic, found[topic]));
		await this.load(this.market.payload ? null : "scores and book of the moment", `/api/moment?date=${this.date}&k=${this.k}`).then(take, (error) => this.closed || this.told(error));
		this.asking = false;
		if (this.again && !this.closed) this.show();
	}
}
