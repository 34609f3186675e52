// The bar that moves a replay or a day.

import { ask } from "./gateway.js";
import { byId, say, time } from "./words.js";

const SPEEDS = [0, 1, 2, 5, 10, 25, 50, 100];
const option = (times) => new Option(times ? `${times} ×` : "as fast as can be", times);

export class Bar {
	/** `told(trouble)`: whether the replay obeyed, null, or why not. */
	constructor(told) {
		this.told = told;
		byId("speed").append(...SPEEDS.map(option));
		byId("play").onclick = () => this.play();
		byId("step").onclick = () => this.step();
		byId("speed").onchange = ({ target: { value } }) => (this.day ? (this.day.speed = Number(value) || 100) : this.order({ do: "speed", speed: Number(value) }));
		byId("seek").onchange = ({ target }) => {
			this.told(null);
			if (!target.value || !target.reportValidity()) return;
			this.day ? this.day.seek(target.value) : this.order({ do: "seek", to: target.value });
			target.value = "";
		};
		byId("slider").oninput = ({ target }) => this.day?.go(Number(target.value));
	}

	/** Where a day stands, or a replay; both null: no time to move. */
	follow(day, replay) {
		Object.assign(this, { day, replay });
		const [moved, speed, slider] = [day ?? replay, byId("speed"), byId("slider")];
		byId("replay").hidden = !moved;
		slider.hidden = !day;
		if (!moved) return;
		say("play", (day ? day.playing : !replay.paused) ? "pause" : "play");
		if (![...speed.options].some(({ value }) => Number(value) === moved.speed)) speed.append(option(moved.speed));
		if (document.activeElement !== speed) speed.value = moved.speed;
		say("where", day ? "" : `${time(replay.position / 1e6)} of ${time(replay.of / 1e6)}`);
		if (day) [slider.min, slider.max, slider.value, slider.ariaValueText] = [day.from, day.to, day.k, time(day.ms)];
	}

	play() {
		if (this.day) this.day.toggle();
		else if (this.replay) this.order({ do: this.replay.paused ? "start" : "pause" });
	}

	step() {
		if (this.day) this.day.go(this.day.k + this.day.second);
		else if (this.replay) this.order({ do: "step", seconds: 1 });
	}

	order(order) {
		ask("/api/replay", order).then((state) => this.told(null, Object.assign(this.replay, state)), ({ message }) => this.told(`The replay: ${message}.`));
	}
}
