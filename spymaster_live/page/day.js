// A day of the lake: the same tables and payloads as of the stream, asked for moment by moment.

import { ask } from "./gateway.js";
import { time } from "./words.js";

const TURN_MS = 250; // between two moments while it plays

export class DayView {
  constructor(date, market, changed, failed) {
    Object.assign(this, { date, market, changed, failed, playing: false, speed: 10, second: Math.round(1000 / market.rules.snap_ms) });
  }

  /** Read the day; then stand at `ms` UTC, else at its first touch. */
  async open(ms) {
    const [{ bars }, touches, { champion, models }] = await Promise.all(["bars", "touches", "models"].map((what) => ask(`/api/${what}?date=${this.date}`)));
    const { market } = this;
    market.session = { date: this.date, contract: "" };
    market.takeRows({ ...touches, bars });
    if (!market.bars.length) throw new Error(`the lake has no prices of ${this.date}`);
    this.model = models[champion.name] ? `${champion.name} ${models[champion.name].content}` : null;
    [this.from, this.to] = [this.second, market.bars[market.bars.length - 1].k];
    this.go(ms ? (ms - market.openMs) / market.rules.snap_ms : (market.touches[0]?.k ?? this.to));
    ask(`/api/heat?date=${this.date}`).then(({ heat }) => {
      if (!this.closed) market.takeHeat(heat);
      this.changed();
    }, this.failed);
  }

  /** Ms UTC of the moment. */
  get ms() {
    return this.market.openMs + this.k * this.market.rules.snap_ms;
  }

  /** HH:MM[:SS] New York time. */
  seek(text) {
    const seconds = (clock) => clock.split(":").reduce((sum, part, i) => sum + part * 60 ** (2 - i), 0);
    this.go(this.k + (seconds(text) - seconds(time(this.ms))) * this.second);
  }

  go(k) {
    this.k = Math.min(this.to, Math.max(this.from, Math.round(k)));
    this.show();
  }

  /** To the touch before or after. */
  neighbour(step) {
    const { touches } = this.market;
    const next = step > 0 ? touches.find(({ k }) => k > this.k) : touches.findLast(({ k }) => k < this.k);
    if (next) this.go(next.k);
  }

  toggle() {
    this.playing = !this.playing;
    clearInterval(this.timer);
    const turn = () => (this.k < this.to ? this.go(this.k + (this.speed * this.second * TURN_MS) / 1000) : this.toggle());
    if (this.playing) this.timer = setInterval(turn, TURN_MS);
    this.changed();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
  }

  /** Ask for the moment; while one is asked for, only the latest wish waits. */
  async show() {
    this.again = this.asking;
    if (this.asking) return;
    this.asking = true;
    try {
      const { signals, flow } = await ask(`/api/moment?date=${this.date}&k=${this.k}`);
      if (this.closed) return;
      this.market.take("signals", signals);
      this.market.take("flow", flow);
      this.changed();
    } catch (error) {
      if (!this.closed) this.failed(error);
    }
    this.asking = false;
    if (this.again) this.show();
  }
}
