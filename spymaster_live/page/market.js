// What is known of the date that is shown, whoever tells it: the stream or the lake.

import { rows } from "./words.js";

const NS = 1e6; // ns in a ms

export class Market {
  constructor(rules) {
    this.rules = rules;
    this.minute = Math.round(60000 / rules.snap_ms); // snaps of a minute
    this.epoch = 0; // how often everything began anew
    this.clear();
  }

  clear() {
    this.epoch += 1;
    Object.assign(this, {
      session: null, status: null, payload: null, forming: null, book: null, dealers: null, strikes: [],
      bars: [], // of a minute: time (s, its beginning), open, high, low, close (points), k
      levels: [], touches: [], outcomes: new Map(), // touch -> what came of it, of a date that is over
      heat: new Map(), // k of a minute's end -> its cells
      news: { bars: true, heat: new Set(), marks: true },
    });
  }

  /** A message of the stream. */
  hear({ type, data }) {
    if (type === "snapshot") {
      this.clear();
      this.session = data.session;
      for (const topic of ["rows", "flow", "signals", "status"]) if (data[topic]) this.take(topic, data[topic]);
    } else this.take(type, data);
  }

  take(topic, data) {
    if (topic === "signals") this.payload = data[data.length - 1] ?? null;
    else if (topic === "rows") this.takeRows(data);
    else if (topic === "flow") this.takeFlow(data);
    else if (topic === "status") this.status = data;
  }

  takeRows({ bars, levels, touches, labels }) {
    for (const bar of rows(bars)) {
      const last = this.bars[this.bars.length - 1];
      if (bar.minutes === 1 && bar.close !== null && !(last?.k >= bar.k)) this.bars.push(this.candle(bar, bar.ts / 1e9));
    }
    if (bars && this.forming?.k <= this.bars[this.bars.length - 1]?.k) this.forming = null;
    for (const level of rows(levels)) this.levels.push({ ...level, points: level.price / 1e9 });
    for (const touch of rows(touches)) this.touches.push({ ...touch, points: touch.price / 1e9 });
    for (const label of rows(labels)) if (label.elapsed === 0) this.outcomes.set(label.touch, label[`outcome_${this.rules.horizon}`]);
    this.news.bars ||= Boolean(bars);
    this.news.marks ||= Boolean(levels || touches || labels);
  }

  /** A bar in points; `end`: s UTC. */
  candle({ k, open, high, low, close }, end) {
    const { tick } = this.rules;
    return { time: Math.round(end) - 60, open: open * tick, high: high * tick, low: low * tick, close: close * tick, k };
  }

  takeFlow({ snaps, dealers, strikes, bar, heat }) {
    this.book = rows(snaps).pop() ?? this.book;
    if (dealers?.rows.length) [this.dealers, this.strikes] = [rows(dealers)[0], rows(strikes)];
    if (bar) {
      this.forming = this.candle(bar, this.book.ts / 1e9 + ((bar.k - this.book.k) * this.rules.snap_ms) / 1000);
      this.news.bars = true;
    }
    if (heat) this.takeHeat(heat, true);
  }

  /** Cells of minutes; `forming`: of one that is not closed, which the next message of it replaces. */
  takeHeat(table, forming = false) {
    const found = Map.groupBy(rows(table), ({ k }) => k);
    for (const [k, cells] of found) {
      cells.closed = !forming;
      if (forming && this.heat.get(k)?.closed) continue;
      this.heat.set(k, cells);
      this.news.heat.add(k);
    }
  }

  /** The latest minute that is closed and there. */
  get heatUntil() {
    return [...this.heat].reduce((until, [k, { closed }]) => (closed ? Math.max(until, k) : until), 0);
  }

  /** Whether a minute closed that is not there yet. */
  get lacksHeat() {
    return [...this.heat].some(([k, { closed }]) => !closed && k <= this.book.k) || (this.heat.size > 0 && this.book.k - this.heatUntil > 2 * this.minute);
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
    return ((this.forming ?? this.bars[this.bars.length - 1]).time + 60) * 1000;
  }

  /** Ms UTC of the market's clock; null before anything is known. */
  get now() {
    return Math.max(this.payload?.ts ?? 0, this.status?.watermark ?? 0, this.book?.ts ?? 0) / NS || null;
  }

  /** The touches of a level up to the moment that is looked at. */
  touchesOf(level) {
    return this.touches.filter(({ kind, k }) => kind === level && k <= (this.payload?.snap ?? Infinity));
  }
}
