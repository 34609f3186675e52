// Questions and the stream. Both say why they are refused.

const PROTOCOL = "spymaster.v1";
const KEPT = "spymaster.token";
const FULL = "the stream was refused: too many are connected";

export const token = {
	get: () => sessionStorage.getItem(KEPT),
	set: (value) => sessionStorage.setItem(KEPT, value),
};

/** JSON of a path; an error with `status` if the gateway says no, without if nobody answers. */
export async function ask(path, order) {
	const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
	const asked = fetch(path, order ? { method: "POST", headers, body: JSON.stringify(order) } : { headers });
	const answer = await asked.catch(() => { throw new Error("the gateway does not answer"); });
	const said = await answer.json().catch(() => ({ error: answer.statusText || `status ${answer.status}` }));
	if (!answer.ok && said.error) throw Object.assign(new Error(said.error), { status: answer.status });
	return said; // of /readyz, too, with what it found
}

/** The state of the page after an error of `ask`. */
export const stateOf = ({ status }) => (status === 401 ? "token" : status === 403 || status === 400 ? "refused" : status ? "failed" : "disconnected");

/** The stream, for ever: `heard(message)`; `changed(state, reason)` when it comes and goes. */
export class Stream {
	constructor(heard, changed) {
		Object.assign(this, { heard, changed, place: {}, wait: 250 });
	}

	connect() {
		const address = `${location.origin.replace(/^http/, "ws")}/ws/stream?${new URLSearchParams(this.place)}`;
		const socket = new WebSocket(address, token.get() ? [PROTOCOL, `token.${token.get()}`] : [PROTOCOL]);
		this.socket = socket;
		let opened = false;
		socket.onopen = () => {
			[opened, this.wait] = [true, 250];
			this.changed("connected", null);
		};
		socket.onmessage = ({ data }) => {
			const message = JSON.parse(data);
			const { type, seq } = message;
			if (type === "ping") return socket.send(JSON.stringify({ do: "ack", seq }));
			this.place.after = seq;
			if (type === "snapshot") this.place.stream = message.data.stream;
			this.heard(message);
		};
		socket.onclose = async ({ reason }) => {
			const found = opened ? ["disconnected", reason] : await why();
			if (this.closed) return;
			this.changed(...found);
			if (found[0] === "token") return;
			this.timer = setTimeout(() => this.connect(), this.wait);
			this.wait = Math.min(4000, this.wait * 2);
		};
	}

	close() {
		this.closed = true;
		clearTimeout(this.timer);
		this.socket?.close();
	}
}

/** Why the stream is refused: a browser does not tell. */
async function why() {
	const error = await ask("/api/replay", { do: "state" }).catch((thrown) => thrown);
	const state = stateOf(error);
	if (state !== "failed") return [state, error.message ?? FULL];
	return ["disconnected", [409, 504].includes(error.status) ? FULL : error.message]; // 409, 504: no replay says where it stands
}
