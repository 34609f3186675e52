// Candles by lightweight-charts; behind them liquidity, over them levels and touches, drawn by us on the same canvas.

import { CandlestickSeries, CrosshairMode, createChart } from "./vendor/lightweight-charts.mjs";
import { colour, el, number, say, time } from "./words.js";

const MODES = {
  rest: ["resting", "resting at the end of each minute"], filled: ["traded", "traded at each price"],
  pulled: ["pulled", "pulled at each price"], added: ["added", "added at each price"],
};
const COLOURS = { BREAK: "break", BOUNCE: "bounce" };

export class Chart {
  /** `place`, `scale`, `choice`: elements of the chart, of what the colours mean, of the modes; `picked(touch)`. */
  constructor(place, scale, choice, market, picked) {
    Object.assign(this, { scale, market, mode: "rest", heat: new Heat(market), shown: 0, epoch: null, date: null, wanted: new Set(), moment: null });
    this.chart = createChart(place, {
      autoSize: true, crosshair: { mode: CrosshairMode.Normal },
      layout: { attributionLogo: false }, // named in the footer
      localization: { timeFormatter: (at) => time(at * 1000), priceFormatter: (price) => number(price, 2) },
      timeScale: { timeVisible: true, tickMarkFormatter: (at) => time(at * 1000).slice(0, 5), rightOffset: 4, minBarSpacing: 0.2 },
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
    this.buttons = Object.entries(MODES).map(([mode, [word, title]]) => el("button", { role: "radio", title, onclick: () => this.show(mode) }, word));
    choice.append(...this.buttons);
    this.paint();
    this.show(this.mode);
  }

  /** The theme's colours. */
  paint() {
    const line = colour("line");
    this.chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: colour("soft") },
      grid: { vertLines: { color: `${line}55` }, horzLines: { color: `${line}55` } },
      timeScale: { borderColor: line }, rightPriceScale: { borderColor: line },
    });
    const [up, down] = [colour("good"), colour("bad")];
    this.series.applyOptions({ upColor: up, wickUpColor: up, downColor: down, wickDownColor: down, borderVisible: false });
    this.heat.paint(this.mode);
  }

  /** Choose what the colours show; without a mode the next one. */
  show(mode) {
    const names = Object.keys(MODES);
    this.mode = mode ?? names[(names.indexOf(this.mode) + 1) % names.length];
    names.forEach((name, i) => this.buttons[i].setAttribute("aria-checked", name === this.mode));
    this.heat.paint(this.mode);
    this.redraw();
  }

  /** Take over what is new. */
  update() {
    const { market } = this;
    const { news, bars } = market;
    if (this.epoch !== market.epoch) {
      this.series.setData(bars);
      if (this.date !== market.date) this.chart.timeScale().setVisibleLogicalRange({ from: bars.length - 240, to: bars.length + 4 });
      this.heat.clear();
    } else for (const bar of bars.slice(this.shown)) this.series.update(bar);
    if (market.forming && news.bars) this.series.update(market.forming);
    [this.epoch, this.date, this.shown] = [market.epoch, market.date, bars.length];
    if (news.heat.size) this.heat.update(this.mode, news.heat);
    if (news.heat.size || news.marks || news.bars) this.redraw();
    say(this.scale, this.heat.most ? `brightest: ${number(this.heat.most)} contracts or more` : "liquidity is told from 09:30 to the end of the signals");
    market.news = { bars: false, heat: new Set(), marks: false };
  }

  /** x of ms UTC: a bar is a minute, and its middle its place. */
  x(ms) {
    const scale = this.chart.timeScale();
    const zero = scale.logicalToCoordinate(0);
    return zero + (scale.logicalToCoordinate(1) - zero) * ((ms / 1000 - this.market.bars[0].time) / 60 - 0.5);
  }

  drawHeat(context) {
    const { picture, first, lowest, highest } = this.heat;
    const { market, series } = this;
    if (!picture || !market.bars.length) return;
    const from = market.openMs + (first - market.minute) * market.rules.snap_ms;
    const [left, right] = [this.x(from), this.x(from + picture.width * 60000)];
    const [top, bottom] = [(highest + 0.5) * market.rules.tick, (lowest - 0.5) * market.rules.tick].map((price) => series.priceToCoordinate(price));
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, left, top, right - left, bottom - top);
  }

  drawMarks(context, { width, height }) {
    const { market } = this;
    if (!market.bars.length) return;
    const labels = new Map();
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const { kind, points, valid_from: from, valid_to: until } of market.levels) {
      const y = this.series.priceToCoordinate(points);
      const [left, right] = [this.x(from / 1e6), Math.min(width, this.x(Math.min(until / 1e6, market.until)))];
      if (right < 0 || left > width) continue;
      context.strokeStyle = this.wanted.has(kind) ? colour("text") : `${colour("soft")}66`;
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(right, y);
      context.stroke();
      labels.set(kind, [y, right]);
    }
    context.fillStyle = colour("text");
    if (this.moment) context.fillRect(this.x(this.moment), 0, 1, height);
    for (const [kind, [y, right]] of labels) {
      if (this.wanted.has(kind)) context.fillText(kind, Math.max(4, right - context.measureText(kind).width - 4), y - 3);
    }
    for (const touch of market.touches) {
      const [x, y, tall] = [this.x(touch.t0 / 1e6), this.series.priceToCoordinate(touch.points), touch.direction === "UP" ? 1 : -1];
      context.fillStyle = colour(COLOURS[market.outcomes.get(touch.touch)] ?? "chop");
      context.strokeStyle = colour(touch.touch === this.selected ? "text" : "panel");
      context.beginPath();
      context.moveTo(x, y + 3 * tall);
      context.lineTo(x - 6, y + 14 * tall);
      context.lineTo(x + 6, y + 14 * tall);
      context.closePath();
      context.fill();
      context.stroke();
    }
  }

  /** The touch near a point of the canvas; undefined if none is. */
  nearest(x, y) {
    const away = ({ t0, points }) => Math.hypot(this.x(t0 / 1e6) - x, this.series.priceToCoordinate(points) - y);
    return this.market.touches.filter((touch) => away(touch) < 20).sort((a, b) => away(a) - away(b))[0];
  }

  /** Bring the moment that is looked at into view. */
  reveal(ms) {
    this.moment = ms;
    const at = (ms / 1000 - this.market.bars[0].time) / 60;
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range || at < range.from || at > range.to) scale.setVisibleLogicalRange({ from: at - 60, to: at + 180 });
    this.redraw();
  }
}

/** Liquidity as a picture of one pixel a minute and price: drawn once, stretched by the canvas. */
class Heat {
  constructor(market) {
    this.market = market;
    this.clear();
  }

  clear() {
    [this.picture, this.most] = [null, 0];
  }

  /** Draw everything anew, on the scale of all minutes that are closed. */
  paint(mode) {
    const { heat, minute } = this.market;
    if (!heat.size) return;
    const [ends, cells] = [[...heat.keys()].sort((a, b) => a - b), [...heat.values()].flat()];
    const ticks = cells.map((cell) => cell.ticks).sort((a, b) => a - b);
    [this.first, this.lowest, this.highest] = [ends[0], ticks[0] - 20, ticks[ticks.length - 1] + 20];
    this.picture = new OffscreenCanvas((ends[ends.length - 1] - this.first) / minute + 61, this.highest - this.lowest + 1); // room for an hour more
    this.context = this.picture.getContext("2d");
    const closed = [...heat.values()].filter((one) => one.closed).flat();
    const sizes = (closed.length ? closed : cells).map((cell) => cell[mode]).filter((size) => size > 0).sort((a, b) => a - b);
    this.most = sizes[Math.floor(0.98 * (sizes.length - 1))] ?? 0;
    for (const k of ends) this.column(k, mode);
  }

  /** Draw a minute that is not closed; everything if another closed, or it does not fit. */
  update(mode, minutes) {
    const { heat, minute } = this.market;
    const fits = (k) => (k - this.first) / minute < this.picture.width && heat.get(k).every(({ ticks }) => ticks >= this.lowest && ticks <= this.highest);
    if (!this.picture || [...minutes].some((k) => heat.get(k).closed || k < this.first || !fits(k))) this.paint(mode);
    else for (const k of minutes) this.column(k, mode);
  }

  column(k, mode) {
    const x = (k - this.first) / this.market.minute;
    this.context.clearRect(x, 0, 1, this.picture.height);
    for (const cell of this.market.heat.get(k)) {
      this.context.globalAlpha = Math.min(1, 0.9 * Math.sqrt(cell[mode] / (this.most || 1)));
      this.context.fillStyle = colour(cell.side === "B" ? "bid" : "ask");
      this.context.fillRect(x, this.highest - cell.ticks, 1, 1);
    }
  }
}
