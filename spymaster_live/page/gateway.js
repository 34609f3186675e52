// The gateway: what is asked for once, and the stream. Both keep to one token and say why they are refused.

const PROTOCOL = "spymaster.v1";
const KEPT = "spymaster.token";

/** The gateway said no: its status and its reason. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
};

/** JSON of a path; Refused, or TypeError if nobody answers. */
export async function ask(path, order) {
  const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  const answer = await fetch(path, order ? { method: "POST", headers, body: JSON.stringify(order) } : { headers });
  const said = await answer.json().catch(() => ({ error: answer.statusText || `status ${answer.status}` }));
  if (!answer.ok && said.error) throw new Refused(answer.status, said.error);
  return said; // of /readyz, too, which says no with what it found
}

/** The stream, for ever: `heard(message)` for each, `changed(state, reason)` when it comes and goes. */
export class Stream {
  constructor(heard, changed) {
    this.heard = heard;
    this.changed = changed;
    this.place = {};
    this.wait = 250;
    this.closed = false;
  }

  connect() {
    const address = `${location.origin.replace(/^http/, "ws")}/ws/stream?${new URLSearchParams(this.place)}`;
    const socket = new WebSocket(address, token.get() ? [PROTOCOL, `token.${token.get()}`] : [PROTOCOL]);
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.wait = 250;
      this.changed("connected", null);
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "ping") {
        socket.send(JSON.stringify({ do: "ack", seq: message.seq }));
        return;
      }
      this.place.after = message.seq;
      if (message.type === "snapshot") this.place.stream = message.data.stream;
      this.heard(message);
    };
    socket.onclose = async (event) => {
      if (this.closed) return;
      const { state, reason } = opened ? { state: "disconnected", reason: event.reason } : await why();
      if (this.closed) return;
      this.changed(state, reason);
      if (state === "token") return;
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

/** Why the stream is refused: a browser does not tell, so something else is asked for in its place. */
async function why() {
  const full = { state: "disconnected", reason: "the stream was refused: too many are connected" };
  try {
    await ask("/api/replay", { do: "state" });
    return full;
  } catch (error) {
    if (!(error instanceof Refused)) return { state: "disconnected", reason: "the gateway does not answer" };
    const { status, message } = error;
    if (status === 409 || status === 504) return full;
    return { state: status === 401 ? "token" : status === 403 || status === 400 ? "refused" : "disconnected", reason: message };
  }
}
