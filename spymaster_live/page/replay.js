// The bar that moves time: of a replay, whose feed it steers, or of a day of the lake, which the page itself walks through.

import { ask } from "./gateway.js";
import { say, time } from "./words.js";

const SPEEDS = [0, 1, 2, 5, 10, 25, 50, 100];
const byId = (id) => document.getElementById(id);

export class Bar {
  constructor(told) {
    this.told = told; // of trouble
    this.day = null;
    this.replay = null;
    const speed = byId("speed");
    speed.append(...SPEEDS.map(option));
    byId("play").onclick = () => this.play();
    byId("step").onclick = () => this.step();
    speed.onchange = () => (this.day ? (this.day.speed = Number(speed.value) || 100) : this.order({ do: "speed", speed: Number(speed.value) }));
    byId("seek").onchange = ({ target }) => {
      if (target.checkValidity() && target.value) {
        if (this.day) this.day.seek(target.value);
        else this.order({ do: "seek", to: target.value });
      }
    };
    byId("slider").oninput = ({ target }) => this.day?.go(Number(target.value));
  }

  /** Where the replay stands; null: there is none. */
  follow(replay) {
    this.replay = replay;
    byId("replay").hidden = !replay;
    byId("slider").hidden = true;
    if (!replay) return;
    say(byId("play"), replay.paused ? "play" : "pause");
    const speed = byId("speed");
    if (document.activeElement !== speed) choose(speed, replay.speed);
    say(byId("where"), `${time(replay.position / 1e6)} of ${time(replay.of / 1e6)}, ${replay.date}`);
  }

  /** Walk through a day: `go(k)`, `seek(text)`, `k`, `of`, `playing`, `toggle()`. null: no more. */
  walk(day) {
    this.day = day;
    byId("replay").hidden = !day;
    byId("slider").hidden = !day;
    if (day) {
      this.replay = null;
      choose(byId("speed"), day.speed);
    }
  }

  shown(day) {
    const slider = byId("slider");
    [slider.min, slider.max, slider.value] = [day.from, day.to, day.k];
    say(byId("play"), day.playing ? "pause" : "play");
    say(byId("where"), `${time(day.ms)} of ${day.date}`);
    slider.setAttribute("aria-valuetext", time(day.ms));
  }

  play() {
    if (this.day) this.day.toggle();
    else if (this.replay) this.order({ do: this.replay.paused ? "start" : "pause" });
  }

  step() {
    if (this.day) this.day.go(this.day.k + this.day.second);
    else if (this.replay) this.order({ do: "step", seconds: 1 });
  }

  async order(order) {
    try {
      this.follow({ ...(await ask("/api/replay", order)) });
    } catch (error) {
      this.told(`The replay: ${error.message}`);
    }
  }
}

const option = (times) => new Option(times ? `${times} ×` : "as fast as can be", times);

/** Choose a speed, listed or not. */
function choose(speed, times) {
  if (![...speed.options].some(({ value }) => Number(value) === times)) speed.append(option(times));
  speed.value = times;
}
