// What is known of the date that is shown.

import { rows } from "./words.js";

export class Market {
	constructor(rules) {
		this.rules = rules;
		this.minute = Math.round(60000 / rules.snap_ms); // snaps of a minute
		this.epoch = 0;
		this.clear();
	}

	clear() {
		this.epoch += 1;
		Object.assign(this, {
			session: null, status: null, payload: null, forming: null, book: null, dealers: null, strikes: [],
			bars: [], // of a minute: time (its beginning, s UTC), prices (points), k
			levels: [], touches: [], outcomes: new Map(), // touch -> what came of it, once over
			heat: new Map(), heatUntil: 0, // k of a minute's end -> cells; the latest closed
			news: true, // not drawn yet
		});
	}

	hear({ type, data }) {
		if (type === "snapshot") {
			this.clear();
			this.session = data.session;
			for (const topic of ["rows", "flow", "signals", "status"]) if (data[topic]) this.take(topic, data[topic]);
		} else this.take(type, data);
	}

	take(topic, data) {
		this.news = true;
		if (topic === "signals") this.payload = data.at(-1) ?? null;
		else if (topic === "rows") this.takeRows(data);
		else if (topic === "flow") this.takeFlow(data);
		else if (topic === "status") this.status = data;
	}

	takeRows({ bars, levels, touches, labels }) {
		for (const bar of rows(bars)) {
			const last = this.bars.at(-1);
			if (bar.minutes === 1 && bar.close !== null && !(last?.k >= bar.k)) this.bars.push(this.candle(bar, bar.ts / 1e9));
		}
		if (bars && this.forming?.k <= this.bars.at(-1)?.k) this.forming = null;
		for (const level of rows(levels)) this.levels.push({ ...level, points: level.price / 1e9 });
		for (const touch of rows(touches)) this.touches.push({ ...touch, points: touch.price / 1e9 });
		for (const label of rows(labels)) if (label.elapsed === 0) this.outcomes.set(label.touch, label[`outcome_${this.rules.horizon}`]);
	}

	/** A bar in points; `end`: s UTC. */
	candle({ k, open, high, low, close }, end) {
		const { tick } = this.rules;
		return { time: Math.round(end) - 60, open: open * tick, high: high * tick, low: low * tick, close: close * tick, k };
	}

	takeFlow({ snaps, dealers, strikes, bar, heat }) {
		this.book = rows(snaps).pop() ?? this.book;
		if (dealers?.rows.length) [this.dealers, this.strikes] = [rows(dealers)[0], rows(strikes)];
		if (bar) this.forming = this.candle(bar, this.book.ts / 1e9 + ((bar.k - this.book.k) * this.rules.snap_ms) / 1000);
		if (heat) this.takeHeat(heat, true);
	}

	/** Cells of minutes that closed, or of one that forms. */
	takeHeat(table, forming = false) {
		if (!forming) for (const k of this.heat.keys()) if (k > this.heatUntil && k <= this.book?.k) this.heat.delete(k);
		for (const [k, cells] of Map.groupBy(rows(table), (cell) => cell.k)) {
			if (forming && k <= this.heatUntil) continue;
			if (!forming) this.heatUntil = Math.max(this.heatUntil, k);
			this.heat.set(k, cells);
		}
		this.news = true;
	}

	/** How many minutes closed. */
	get minutes() {
		return Math.floor((this.book?.k ?? 0) / this.minute);
	}

	get date() {
		return this.session?.date ?? null;
	}

	/** Ms UTC of the open. */
	get openMs() {
		const [bar] = this.bars;
		return bar ? (bar.time + 60) * 1000 - bar.k * this.rules.snap_ms : null;
	}

	/** Ms UTC up to which there are bars. */
	get until() {
		return ((this.forming ?? this.bars.at(-1)).time + 60) * 1000;
	}

	/** Ms UTC of the market's clock, if known. */
	get now() {
		return Math.max(this.payload?.ts ?? 0, this.status?.watermark ?? 0, this.book?.ts ?? 0) / 1e6 || null;
	}

	/** The touches of a level up to the moment. */
	touchesOf(level) {
		return this.touches.filter(({ kind, k }) => kind === level && k <= (this.payload?.snap ?? Infinity));
	}
}
