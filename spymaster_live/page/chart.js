// Candles, liquidity behind them, levels and touches over them.

import { CandlestickSeries, CrosshairMode, createChart } from "./vendor/lightweight-charts.mjs";
import { colour, el, number, price, say, time } from "./words.js";

const MODES = { rest: "resting", filled: "traded", pulled: "pulled", added: "added" };
const ROOM = 24; // minutes for the levels' names

export class Chart {
	/** `place`, `scale`, `choice`: elements; `picked(touch)`. */
	constructor(place, scale, choice, market, picked) {
		Object.assign(this, { scale, market, mode: "rest", heat: null, canvas: new OffscreenCanvas(1, 1), most: 0, shown: 0, epoch: null, date: null, wanted: new Set(), moment: null });
		this.chart = createChart(place, {
			autoSize: true, crosshair: { mode: CrosshairMode.Normal },
			layout: { attributionLogo: false },
			localization: { timeFormatter: (at) => time(at * 1000), priceFormatter: price },
			timeScale: { timeVisible: true, tickMarkFormatter: (at) => time(at * 1000).slice(0, 5), rightOffset: ROOM, minBarSpacing: 0.2 },
		});
		this.series = this.chart.addSeries(CandlestickSeries, { priceLineVisible: false, priceFormat: { minMove: market.rules.tick } });
		const view = (zOrder, draw) => ({
			zOrder: () => zOrder,
			renderer: () => ({ draw: (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => draw(context, mediaSize)) }),
		});
		const views = [view("bottom", this.drawHeat.bind(this)), view("top", this.drawMarks.bind(this))];
		this.series.attachPrimitive({ attached: ({ requestUpdate }) => (this.redraw = requestUpdate), paneViews: () => views });
		this.chart.subscribeClick(({ point }) => {
			const touch = point && this.nearest(point.x, point.y);
			if (touch) picked(touch);
		});
		this.buttons = Object.entries(MODES).map(([mode, word]) => el("button", { title: `${word} lots by minute and price`, onclick: () => this.show(mode) }, word));
		choice.append(...this.buttons);
		this.paint();
		this.show(this.mode);
	}

	paint() {
		const line = colour("line");
		this.chart.applyOptions({
			layout: { background: { color: "transparent" }, textColor: colour("soft") },
			grid: { vertLines: { color: `${line}55` }, horzLines: { color: `${line}55` } },
			timeScale: { borderColor: line }, rightPriceScale: { borderColor: line },
		});
		const [up, down] = [colour("good"), colour("bad")];
		this.series.applyOptions({ upColor: up, wickUpColor: up, downColor: down, wickDownColor: down, borderVisible: false });
		this.paintHeat();
	}

	/** Choose what the colours show, or the next. */
	show(mode) {
		const names = Object.keys(MODES);
		this.mode = mode ?? names[(names.indexOf(this.mode) + 1) % names.length];
		names.forEach((name, i) => this.buttons[i].setAttribute("aria-pressed", name === this.mode));
		this.paintHeat();
		this.redraw();
	}

	update() {
		const { market } = this;
		const { bars } = market;
		if (this.epoch !== market.epoch) {
			this.series.setData(bars);
			if (this.date !== market.date) this.range = { from: bars.length - Math.min(240, this.chart.timeScale().width() / 3), to: bars.length + ROOM };
			this.heat = null;
		} else for (const bar of bars.slice(this.shown)) this.series.update(bar);
		if (market.forming && market.news) this.series.update(market.forming);
		[this.epoch, this.date, this.shown] = [market.epoch, market.date, bars.length];
		if (this.heat?.until !== market.heatUntil) this.paintHeat();
		if (market.news) this.redraw();
		say(this.scale, this.most ? `brightest: ${number(this.most)} contracts or more` : "no liquidity yet");
		market.news = false;
	}

	/** x of ms UTC: a bar is a minute, and its middle its place. */
	x(ms) {
		const scale = this.chart.timeScale();
		const zero = scale.logicalToCoordinate(0);
		return zero + (scale.logicalToCoordinate(1) - zero) * ((ms / 1000 - this.market.bars[0].time) / 60 - 0.5);
	}

	y(points) {
		return this.series.priceToCoordinate(points);
	}

	/** Closed minutes as a picture, a pixel a minute and price. */
	paintHeat() {
		const { heat, heatUntil: until, minute } = this.market;
		const cells = [...heat.values()].flat().filter(({ k }) => k <= until);
		const sizes = cells.map((cell) => cell[this.mode]).filter(Boolean).sort((a, b) => a - b);
		const ticks = cells.map((cell) => cell.ticks).sort((a, b) => a - b);
		const [first, lowest, highest] = [Math.min(...heat.keys()), ticks[0], ticks.at(-1)];
		this.most = sizes[Math.floor(0.98 * (sizes.length - 1))] ?? 0;
		const picture = cells.length && Object.assign(this.canvas, { width: (until - first) / minute + 1, height: highest - lowest + 1 });
		this.heat = { until, first, lowest, highest, picture };
		const context = this.canvas.getContext("2d");
		for (const cell of cells) this.fill(context, cell, (cell.k - first) / minute, highest - cell.ticks, 1, 1);
	}

	fill(context, cell, ...place) {
		const size = cell[this.mode];
		context.globalAlpha = size && Math.min(1, 0.9 * Math.sqrt(size / (this.most || size)));
		context.fillStyle = colour(cell.side === "B" ? "bid" : "ask");
		context.fillRect(...place);
	}

	drawHeat(context) {
		const { openMs, heat, minute, rules } = this.market;
		if (openMs === null || !this.heat) return;
		const { picture, until, first, lowest, highest } = this.heat;
		const [x, y] = [(k) => this.x(openMs + k * rules.snap_ms), (ticks) => this.y(ticks * rules.tick)];
		const [left, top] = [x(first - minute), y(highest + 0.5)];
		context.imageSmoothingEnabled = false;
		if (picture) context.drawImage(picture, left, top, x(until) - left, y(lowest - 0.5) - top);
		for (const [k, cells] of heat) if (k > until) for (const cell of cells) this.fill(context, cell, x(k - minute), y(cell.ticks + 0.5), x(k) - x(k - minute), y(0) - y(1));
		context.globalAlpha = 1;
	}

	drawMarks(context, { width, height }) {
		if (!this.market.bars.length) return;
		const until = this.moment ?? this.market.until;
		context.font = "11px system-ui, sans-serif";
		context.lineJoin = "round";
		const labels = this.drawLevels(context, width, until);
		const now = this.x(until);
		if (this.moment) {
			context.fillStyle = `${colour("panel")}b0`;
			context.fillRect(now, 0, width, height);
			context.fillStyle = colour("text");
			context.fillRect(now, 0, 1, height);
		}
		this.drawLabels(context, width, labels, now + 6);
		context.textAlign = "center";
		for (const touch of this.market.touches) this.drawTouch(context, touch, until);
	}

	/** Lines of the levels; y of those in force at `until` ms UTC, by kind. */
	drawLevels(context, width, until) {
		const labels = new Map();
		context.lineWidth = 1;
		for (const { kind, points, valid_from: from, valid_to: to } of this.market.levels) {
			const y = this.y(points);
			if (from / 1e6 < until && to / 1e6 >= until) labels.set(kind, y);
			const [left, right] = [this.x(from / 1e6), Math.min(width, this.x(Math.min(to / 1e6, this.market.until)))];
			if (right < 0 || left > width) continue;
			context.strokeStyle = this.wanted.has(kind) ? colour("text") : `${colour("soft")}66`;
			context.beginPath();
			context.moveTo(left, y);
			context.lineTo(right, y);
			context.stroke();
		}
		return labels;
	}

	/** Names right of the moment: those of cards always, the rest where there is room. */
	drawLabels(context, width, labels, x) {
		const taken = [];
		const isTaken = (y) => taken.some((one) => Math.abs(one - y) < 12);
		for (let [kind, y] of [...labels].sort(([a, high], [b, low]) => this.wanted.has(b) - this.wanted.has(a) || high - low)) {
			const wanted = this.wanted.has(kind);
			while (wanted && isTaken(y)) y += 1;
			if (isTaken(y)) continue;
			taken.push(y);
			this.write(context, kind, Math.max(4, Math.min(x, width - context.measureText(kind).width - 4)), y + 4, wanted ? "text" : "soft", "panel", 3);
		}
	}

	/** A triangle, filled once it is known what came of it, paler after the moment. */
	drawTouch(context, { touch, t0, points, direction }, until) {
		const { outcomes, rules } = this.market;
		const came = t0 / 1e6 + rules.outcome_seconds * 1000 <= until && outcomes.get(touch)?.toLowerCase();
		const [glyph, down] = direction === "UP" ? ["▲", 15] : ["▼", -6];
		const chosen = touch === this.selected;
		context.font = "14px system-ui, sans-serif";
		context.globalAlpha = t0 / 1e6 > until ? 0.5 : 1;
		this.write(context, glyph, this.x(t0 / 1e6), this.y(points) + down, came || "panel", chosen ? "text" : came ? "panel" : "soft", chosen ? 4 : 2);
		context.globalAlpha = 1;
	}

	write(context, words, x, y, fill, edge, thick) {
		[context.fillStyle, context.strokeStyle, context.lineWidth] = [colour(fill), colour(edge), thick];
		context.strokeText(words, x, y);
		context.fillText(words, x, y);
	}

	nearest(x, y) {
		const away = ({ t0, points }) => Math.hypot(this.x(t0 / 1e6) - x, this.y(points) - y);
		return this.market.touches.filter((touch) => away(touch) < 20).sort((a, b) => away(a) - away(b))[0];
	}

	/** A day's moment, ms UTC; null: the latest. */
	look(ms) {
		if (ms === this.moment) return;
		this.moment = ms;
		this.series.applyOptions({ lastValueVisible: !ms });
		const at = ms && (ms / 1000 - this.market.bars[0].time) / 60;
		const { from, to } = this.range ?? {};
		if (ms && !(at >= from && at <= to)) this.range = { from: at - 60, to: at + 180 };
		this.redraw();
	}

	get range() {
		return this.chart.timeScale().getVisibleLogicalRange();
	}

	set range(range) {
		this.chart.timeScale().setVisibleLogicalRange(range);
	}

	/** `times` the minutes, moved by a share of them. */
	zoom(times, move = 0) {
		if (!this.range) return;
		const { from, to } = this.range;
		const [middle, half] = [(from + to) / 2 + move * (to - from), ((to - from) * times) / 2];
		this.range = { from: middle - half, to: middle + half };
	}
}
