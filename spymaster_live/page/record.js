// What came of the touches of earlier dates: by level, and by the odds of a break that were given. All of it out of sample.

import { el, number, percent } from "./words.js";

export function fill(place, found, rules) {
  if (!found.dates) {
    place.replaceChildren(el("p.soft", {}, "No earlier date has outcomes in the lake yet."));
    return;
  }
  const bar = (share, word) => el("td", {}, el(`i.share.${word}`, { "data-share": share }), ` ${percent(share)}`);
  const line = (title, one) =>
    el("tr", {}, el("th", {}, title), el("td.n", {}, number(one.touches)), ...["break", "bounce", "chop"].map((word) => bar(one.touches ? one[word] / one.touches : null, word)));
  const table = (caption, lines) =>
    el("div", {}, el("p.soft", {}, caption), el("table", {}, el("thead", {}, el("tr", {}, el("th"), el("th.n", {}, "touches"), ...["broke", "bounced", "neither"].map((word) => el("th", {}, word)))), el("tbody", {}, ...lines)));
  const odds = found.odds.filter(({ touches }) => touches);
  place.replaceChildren(
    el("p", {}, `${found.dates} dates before ${found.before}; what came within ${rules.outcome_seconds / 60} min of the touch.`),
    el("div.two", {},
      table("by level", found.levels.map((one) => line(one.kind, one))),
      odds.length
        ? table(`by the odds of a break that ${found.champion} gave beforehand`, odds.map((one) => line(`${Math.round(100 * one.low)}–${Math.round(100 * one.high)} %`, one)))
        : el("p.soft", {}, found.champion === "geometry" ? "No model serves: no odds were given." : "No odds were given on these dates.")),
  );
  for (const one of place.querySelectorAll("[data-share]")) one.style.width = `${4 * (Number(one.dataset.share) || 0)}rem`;
}
