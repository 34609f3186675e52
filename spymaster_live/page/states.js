// States in words.

import { time } from "./words.js";

const BAD = ["token", "refused", "disconnected", "degraded", "stale", "failed"];

/** The line below the header, and whether it is bad news. `age`: s since the clock moved; `lag`: s behind. */
export function notice(state, page, market, age, lag) {
	const { session, status, payload, now } = market ?? {};
	const { day, ready, reason, trouble } = page;
	const words = {
		loading: day ? `Loading ${day.date}: ${day.waits.join(", ")}…` : "Loading…",
		empty: `Connected, but ${ready?.why ?? "no session has begun"}: start a feed, or choose a date.`,
		token: `The gateway wants a token: ${reason}.`,
		refused: `The gateway refuses this page: ${reason}.`,
		disconnected: `Disconnected: ${reason || "the connection was lost"}.${now ? ` What is shown is as of ${time(now)}.` : ""} Trying again…`,
		degraded: `Not to be trusted now: ${ready?.why}.`,
		stale: `Nothing new for ${age} s.`,
		ended: `${session?.date} is over: this is how it ended.`,
		paused: "The replay is paused.",
		behind: `Catching up: ${Math.round(lag / 60)} min behind.`,
		waiting: `Waiting: scores begin at ${market?.rules.opens}.`,
		day: `A past date, as it stood at the moment of the line; what is paler came later.${day?.waits.length ? ` Loading ${day.waits.join(", ")}…` : ""}`,
		failed: `${reason}.`,
	};
	const more = [
		page.simulated?.includes(day?.date ?? session?.date) && "A simulated date: it tells nothing of the market.",
		status?.partial && "Joined late: what reaches back before that is unknown.",
		payload && !payload.quality.book_ok && "The book is one-sided, crossed or flagged.",
		session && !day && !session.model && "No model serves this date: the score stands alone.",
		status?.model_trouble && `The model cannot be used: ${status.model_trouble}.`,
		trouble,
	];
	return { words: [words[state], ...more].filter(Boolean).join(" "), bad: BAD.includes(state) || Boolean(trouble) };
}
