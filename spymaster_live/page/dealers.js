// Dealers' gamma by strike: bars to the right dampen a move, to the left they amplify it; with the mid, the walls and the flip.

import { colour, number, ready, say } from "./words.js";

const NEAR = 60; // points around the mid

export function draw(canvas, sentence, market) {
  const { dealers, strikes, book } = market;
  const mid = book && book.mid2 !== null ? (book.mid2 * market.rules.tick) / 2 : null;
  const near = strikes.filter(({ strike, exposure }) => exposure !== null && mid !== null && Math.abs(strike / 1e9 - mid) <= NEAR);
  const { context, width, height } = ready(canvas);
  const text = tell(dealers, mid, market.rules);
  say(sentence, text);
  canvas.setAttribute("aria-label", text);
  if (!near.length) return;
  const most = Math.max(...near.map(({ exposure }) => Math.abs(exposure)), 1e-9);
  const low = Math.min(mid, ...near.map(({ strike }) => strike / 1e9)) - 3;
  const high = Math.max(mid, ...near.map(({ strike }) => strike / 1e9)) + 3;
  const x = (points) => ((points - low) / (high - low)) * width;
  const zero = height / 2;
  const step = Math.max(2, (width / (high - low)) * 3);
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "center";
  context.strokeStyle = colour("line");
  line(context, 0, zero, width, zero);
  for (const { strike, exposure } of near) {
    const tall = (exposure / most) * (zero - 18);
    context.fillStyle = colour(exposure >= 0 ? "bounce" : "break");
    context.fillRect(x(strike / 1e9) - step / 2, Math.min(zero, zero - tall), step, Math.max(1, Math.abs(tall)));
  }
  context.fillStyle = colour("soft");
  for (const { strike } of near.filter(({ strike: one }) => (one / 1e9) % 25 === 0)) context.fillText(number(strike / 1e9), x(strike / 1e9), height - 2);
  const marks = [[mid, "price", "text"], [dealers.flip, "flip", "soft"], ...["above", "below"].map((side) => [dealers[`wall_${side}`] === null ? null : dealers[`wall_${side}`] / 1e9, "wall", "bounce"])];
  for (const [points, word, name] of marks) {
    if (points === null || points < low || points > high) continue;
    context.strokeStyle = context.fillStyle = colour(name);
    context.setLineDash(word === "price" ? [] : [3, 3]);
    line(context, x(points), 14, x(points), height - 14);
    context.fillText(word, x(points), 11);
  }
  context.setLineDash([]);
}

function line(context, ...[x0, y0, x1, y1]) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function tell(dealers, mid, rules) {
  if (!dealers || dealers.effect === "UNKNOWN" || mid === null) return "Unknown: today's options do not tell yet, or they are not there.";
  const wall = (side) => (dealers[`wall_${side}`] === null ? null : number(dealers[`wall_${side}`] / 1e9));
  const walls = ["above", "below"].filter(wall).map((side) => `${wall(side)} ${side}`);
  return `At ${number(mid, 2)} dealers ${dealers.effect === "NEUTRAL" ? "hardly trade with or against a move" : rules.states[dealers.effect].replace("dealers ", "")}: `
    + `${number(Math.abs(dealers.exposure), 1)} contracts ${dealers.exposure >= 0 ? "against" : "with"} each point. `
    + `${walls.length ? `They dampen most at ${walls.join(" and ")}. ` : ""}${dealers.flip === null ? "No flip is near." : `It turns at ${number(dealers.flip, 1)}.`}`;
}
