// Every state of the page in words: what is shown, whether to trust it, and what to do.

import { time } from "./words.js";

const BAD = ["token", "refused", "disconnected", "degraded", "stale", "failed"];

/** The line below the header, and whether it is bad news. `age`: seconds since the market's clock moved. */
export function notice(state, page, market, age) {
  const { session, status, payload, now } = market;
  const words = {
    loading: "Loading…",
    empty: "Connected. No session has begun: start a feed, or choose a date above.",
    token: `The gateway wants a token: ${page.reason}.`,
    refused: `The gateway refuses this page: ${page.reason}.`,
    disconnected: `Disconnected: ${page.reason || "the connection was lost"}.${now ? ` What is shown is as of ${time(now)}.` : ""} Trying again…`,
    degraded: `Not to be trusted now: ${page.ready?.why}.`,
    stale: `Nothing new for ${age} s.`,
    ended: `${session?.date} is over: this is how it ended.`,
    paused: "The replay is paused.",
    waiting: "Waiting: scores begin at 09:30 New York time.",
    failed: page.reason,
  };
  const more = [
    payload?.quality.partial && "Joined late: what reaches back before that is unknown.",
    payload && !payload.quality.book_ok && "The book is one-sided, crossed or flagged.",
    session && !page.day && !session.model && "No model serves this date: the score stands alone.",
    status?.model_trouble && `The model cannot be used: ${status.model_trouble}.`,
    page.trouble,
  ];
  return { words: [words[state], ...more].filter(Boolean).join(" "), bad: BAD.includes(state) || Boolean(page.trouble) };
}
