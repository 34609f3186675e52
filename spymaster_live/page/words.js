// Numbers and moments as words, and what draws them. Unknown is –, never 0.

let clock, day;

export function useZone(timeZone) {
  clock = new Intl.DateTimeFormat("en-GB", { timeZone, timeStyle: "medium", hourCycle: "h23" });
  day = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" });
}

/** HH:MM:SS of ms UTC in the market's zone. */
export const time = (ms) => (ms ? clock.format(ms) : "--:--:--");
/** YYYY-MM-DD of ms UTC in the market's zone. */
export const date = (ms) => day.format(ms);
/** A number with so many digits, grouped. */
export const number = (value, digits = 0, sign = false) =>
  value == null ? "–" : (sign && value > 0 ? "+" : "") + value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const percent = (value) => (value == null ? "–" : `${Math.round(100 * value)} %`);
export const seconds = (value) => (value < 100 ? `${number(value, value < 10 ? 1 : 0)} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`);

/** A table of the gateway as objects. */
export const rows = (table) => (table?.rows ?? []).map((row) => Object.fromEntries(table.columns.map((name, i) => [name, row[i]])));

/** An element: tag.class, attributes, children. Text is text: nothing is read as HTML. */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") node.onclick = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/** Set text where it changed. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const colours = new Map();

/** A colour of the theme. */
export function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return colours.get(name);
}

export function useTheme(name) {
  document.documentElement.dataset.theme = name;
  colours.clear();
}

/** A canvas at the screen's resolution, wiped: its context, width and height in CSS pixels. */
export function ready(canvas) {
  const scale = window.devicePixelRatio;
  const { clientWidth: width, clientHeight: height } = canvas;
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return { context, width, height };
}
