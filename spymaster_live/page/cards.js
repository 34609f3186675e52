// A card for each level: where it is, what the score says and why, the odds, what came of touches like this one.

import { ask } from "./gateway.js";
import { colour, el, number, percent, ready, rows, say, seconds, time } from "./words.js";

const PARTS = [ // of the score, its weight's name, its facts with short names
  ["barrier", "liquidity", { state: "", turnover: "turnover", replenishment_ratio: "refilled", delta_liq: "change", wall_ratio: "× usual size" }],
  ["fuel", "hedge", { effect: "", exposure: "gamma" }],
  ["tape", "tape", { imbalance: "imbalance", velocity: "prints/s", rate: "× usual rate", prints: "prints", sweep: "sweep" }],
];
const WORDS = ["break", "bounce", "chop"];

export class Cards {
  /** `rules`: of the score; `meanings`: of the payload's names. */
  constructor(place, rules, meanings) {
    Object.assign(this, { place, rules, meanings, cards: new Map() });
  }

  /** The levels of a payload, the highest price first. */
  update(payload, market) {
    const levels = [...(payload?.levels ?? [])].sort((a, b) => b.price - a.price);
    const seen = new Set();
    levels.forEach((level, i) => {
      const id = seen.has(level.id) ? `${level.id} ${level.touch?.event_id}` : level.id; // one in force, one whose touch still runs
      seen.add(id);
      if (!this.cards.has(id)) this.cards.set(id, new Card(level, this.rules, this.meanings));
      const card = this.cards.get(id);
      if (this.place.children[i] !== card.root) this.place.insertBefore(card.root, this.place.children[i] ?? null);
      card.update(level, market);
    });
    for (const [id, card] of this.cards) {
      if (seen.has(id)) continue;
      card.root.remove();
      this.cards.delete(id);
    }
    const empty = this.place.querySelector(".empty");
    if (levels.length) empty?.remove();
    else if (!empty) this.place.append(el("p.card.soft.empty", {}, "No level yet. Premarket and moving averages hold from 09:30 New York time on, the opening range from 09:45."));
  }

  /** Give the nth card the keyboard. */
  focus(n) {
    this.place.children[n]?.focus();
  }

  /** Mark the card of a kind of level. */
  select(kind) {
    for (const card of this.cards.values()) card.root.classList.toggle("selected", card.kind === kind);
  }
}

class Card {
  constructor(level, rules, meanings) {
    Object.assign(this, { rules, meanings, kind: level.id, touch: null, scores: [] });
    this.root = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.root.setAttribute("aria-label", level.id);
    this.at = (name) => this.root.querySelector(name);
    this.at(".signal").title = meanings.get("levels[].signal");
    this.at("tbody").append(...PARTS.map(([name]) => el("tr", {}, el("th", { title: meanings.get(`levels[].${name}.score`) }, name), el("td.n"), el("td.n"), el("td"))));
    this.at("details").ontoggle = () => this.showAnalogs();
  }

  say(name, text) {
    say(this.at(name), text);
  }

  update(level, market) {
    const { touch } = level;
    const others = level.kinds.filter((kind) => kind !== level.id);
    this.say("h3", `${level.id} ${number(level.price, 2)}`);
    this.say(".what", `${number(level.distance, 2)} pt away${others.length ? `, with ${others.join(", ")}` : ""} · ${this.rules.kinds[level.id] ?? ""}`);
    this.root.classList.toggle("near", level.in_band);
    this.at(".touched").hidden = !touch;
    this.at(".quiet").hidden = Boolean(touch);
    if (!touch) {
      const before = market.touchesOf(level.id);
      const last = before[before.length - 1];
      this.say(".quiet", last ? `Not being touched. Touched ${before.length} × today, last at ${time(last.t0 / 1e6)}.` : "Not touched today.");
      this.say(".signal", "");
      this.touch = null;
      return;
    }
    if (touch.event_id !== this.touch) this.begin(touch, market);
    this.score(level, touch);
    this.explain(level);
    this.tell(level.model);
  }

  /** Another touch: its score so far. */
  begin(touch, market) {
    [this.touch, this.scores] = [touch.event_id, []];
    const number_ = market.touches.find(({ kind, t0 }) => kind === this.kind && t0 === touch.t0)?.touch;
    this.query = number_ === undefined ? null : `date=${market.date}&touch=${number_}`;
    this.at(".analogs").replaceChildren();
    this.at("details").open = false;
    if (!this.query) return;
    const mine = (told) => touch.event_id === this.touch && (this.scores = rows(told.scores).map((one) => [one.elapsed, one.break_score_smooth]));
    ask(`/api/scores?${this.query}`).then(mine, () => {}); // without it the trace begins here
  }

  score(level, touch) {
    const score = level.break_score_smooth;
    this.say(".signal", level.signal === "NEUTRAL" ? "" : level.signal);
    this.at(".signal").className = `signal ${level.signal}`;
    this.say(".state", `From ${level.direction === "UP" ? "below" : "above"}, touch ${touch.attempt} today, ${seconds(touch.elapsed)} ago: ${level.note}. Evidence: ${level.confidence.toLowerCase()}.`);
    if (!(this.scores[this.scores.length - 1]?.[0] >= touch.elapsed)) this.scores.push([touch.elapsed, score]);
    this.drawDial(score);
    this.drawTrace(touch.elapsed);
  }

  /** Why the score is what it is, and what would make it another. */
  explain(level) {
    const { weights, break_from: high, reject_to: low } = this.rules;
    const known = PARTS.filter(([name]) => level[name].score !== null);
    const whole = known.reduce((sum, [, weight]) => sum + weights[weight], 0);
    PARTS.forEach(([name, weight, facts], i) => {
      const values = level[name];
      const [, score, points, cell] = this.at("tbody").rows[i].cells;
      say(score, number(values.score));
      say(points, values.score === null ? "–" : number((values.score * weights[weight]) / whole, 1));
      const told = Object.entries(facts).map(([fact, short]) => [fact, short, values[fact]]).filter(([, , value]) => value !== null && value !== 0);
      const digits = (value) => (Number.isInteger(value) ? 0 : Math.abs(value) < 10 ? 2 : 0);
      say(cell, told.map(([, short, value]) => (short ? `${short} ${number(value, digits(value))}` : value.toLowerCase())).join(", ") || "unknown");
      cell.title = told.map(([fact, , value]) => `${fact}: ${this.rules.states[value] ?? this.meanings.get(`levels[].${name}.${fact}`)}`).join("\n");
    });
    const raw = level.break_score_raw;
    const needed = (target) =>
      known.map(([name, weight]) => [name, level[name].score + ((target - raw) * whole) / weights[weight]])
        .filter(([, value]) => value >= 0 && value <= 100).map(([name, value]) => `${name} at ${number(value)}`).join(" or ");
    const way = (word, target, there) => `${word}: ${there ? "it says so now" : needed(target) ? `with ${needed(target)}` : "no single part would do"}.`;
    this.say(".mind", raw === null ? "No part is known: there is no score."
      : `Raw ${number(raw)}. What would change its mind, held for ${this.rules.trigger_seconds} s: ${way("BREAK", high, raw >= high)} ${way("REJECT", low, raw <= low)}`);
  }

  /** What the model says, or why it says nothing. */
  tell(model) {
    const known = model && model.break !== null;
    const odds = this.at(".odds");
    odds.hidden = !known;
    if (!known) {
      this.say(".said", model ? "Odds unknown: volatility is not known yet." : "No model serves this date: the score stands alone.");
      return;
    }
    WORDS.forEach((word, i) => (odds.children[i].style.width = `${100 * model[word]}%`));
    const interval = model.interval ? ` (analogs: ${model.interval.map((one) => Math.round(100 * one)).join("–")} %)` : "";
    const why = model.veto ? ` No trade: ${this.rules.states[model.veto]}.`
      : model.abstain ? ` It abstains: at 90 % it cannot exclude ${model.set.join(", ").toLowerCase() || "anything"}.` : "";
    this.say(".said", `Within ${this.rules.outcome_seconds / 60} min: break ${percent(model.break)}${interval}, bounce ${percent(model.bounce)}, neither ${percent(model.chop)}.${why}`);
    odds.setAttribute("aria-label", this.at(".said").textContent);
  }

  async showAnalogs() {
    const place = this.at(".analogs");
    if (!this.at("details").open || !this.query || place.children.length) return;
    place.replaceChildren(el("p.soft", {}, "looking…"));
    const found = await ask(`/api/analogs?${this.query}`).catch((error) => ({ error: error.message }));
    if (!found?.outcomes) {
      place.replaceChildren(el("p.soft", {}, found?.error ?? "No index of earlier touches was made for this date."));
      return;
    }
    const { outcomes, nearest, of, far } = found;
    const line = ({ date, ts, kind, direction, outcome, strength }) =>
      el("tr", {}, el("td", {}, `${date} ${time(ts / 1e6)}`), el("td", {}, `${kind} ${direction.toLowerCase()}`), el(`td.${outcome}`, {}, outcome), el("td.n", {}, number(strength, 2, true)));
    place.replaceChildren(
      el("p", {}, `Of ${of} touches most like it at the touch ${outcomes.BREAK} broke, ${outcomes.BOUNCE} bounced, ${outcomes.CHOP} did neither.${far ? " None is close." : ""}`),
      el("table", {}, el("tbody", {}, ...nearest.map(line))),
    );
  }

  drawDial(score) {
    const { context, width, height } = ready(this.at(".dial"));
    this.at(".dial").setAttribute("aria-label", `score ${number(score)} of 100`);
    if (!width) return;
    const [x, y, r] = [width / 2, height - 14, Math.min(width / 2 - 6, height - 20)];
    const arc = (from, to, name, thick) => {
      context.beginPath();
      context.arc(x, y, r, Math.PI * (1 + from / 100), Math.PI * (1 + to / 100));
      [context.strokeStyle, context.lineWidth] = [colour(name), thick];
      context.stroke();
    };
    arc(0, 100, "line", 8);
    arc(0, this.rules.reject_to, "bounce", 3);
    arc(this.rules.break_from, 100, "break", 3);
    if (score !== null) arc(0, score, score >= 50 ? "break" : "bounce", 8);
    const write = (text, at, base, font, name) => {
      [context.font, context.fillStyle, context.textAlign] = [`${font} system-ui, sans-serif`, colour(name), "center"];
      context.fillText(text, at, base);
    };
    write(number(score), x, y, "700 22px", "text");
    write("bounce", 20, height - 1, "10px", "soft");
    write("break", width - 18, height - 1, "10px", "soft");
  }

  drawTrace(elapsed) {
    const { context, width, height } = ready(this.at(".trace"));
    const y = (score) => height - 2 - ((height - 4) * score) / 100;
    const draw = (points, name, dashes) => {
      context.setLineDash(dashes);
      context.strokeStyle = colour(name);
      context.beginPath();
      for (const [at, score] of points) context.lineTo((width * at) / Math.max(60, elapsed), y(score));
      context.stroke();
    };
    for (const [score, name] of [[this.rules.break_from, "break"], [this.rules.reject_to, "bounce"]]) draw([[0, score], [999, score]], name, [3, 3]);
    draw(this.scores.filter(([at, score]) => score !== null && at <= elapsed), "text", []);
  }
}
