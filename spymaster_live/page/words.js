// Words and elements. Unknown is –, never 0.

let clock, day;
export let price, zone;

export function useZone({ zone: timeZone, digits }) {
	zone = timeZone.split("/").pop().replace("_", " ");
	price = (points) => number(points, digits);
	clock = new Intl.DateTimeFormat("en-GB", { timeZone, timeStyle: "medium", hourCycle: "h23" });
	day = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" });
}

/** Of ms UTC in the market's zone: HH:MM:SS, and YYYY-MM-DD. */
export const time = (ms) => (ms ? clock.format(ms) : "--:--:--");
export const date = (ms) => day.format(ms);
export const byId = (id) => document.getElementById(id);

const formats = [..."012345678"].map((n) => new Intl.NumberFormat("en", { minimumFractionDigits: n, maximumFractionDigits: n }));

/** A number with so many digits, grouped. */
export const number = (value, digits = 0, sign = false) => (value == null ? "–" : (sign && value > 0 ? "+" : "") + formats[digits].format(value));
export const percent = (value) => (value == null ? "–" : `${Math.round(100 * value)} %`);

/** A table of the gateway as objects. */
export const rows = (table) => (table?.rows ?? []).map((row) => Object.fromEntries(table.columns.map((name, i) => [name, row[i]])));

/** An element: tag.class; children, text (never read as HTML), objects of properties. */
export function el(tag, ...parts) {
	const [name, ...classes] = tag.split(".");
	const node = document.createElement(name);
	node.className = classes.join(" ");
	for (const part of parts) {
		if (typeof part === "string" || part instanceof Node) node.append(part);
		else Object.assign(node, part);
	}
	return node;
}

/** A table: words above, lines of words and cells. */
export const table = (heads, lines) =>
	el("table",
		el("thead", el("tr", ...heads.map((word, i) => el(lines[0]?.[i].className === "n" ? "th.n" : "th", word)))),
		el("tbody", ...lines.map((cells) => el("tr", ...cells.map((cell) => (cell instanceof Node ? cell : el("td", cell)))))));

/** Set the text of a node or an id. */
export function say(place, text) {
	const node = typeof place === "string" ? byId(place) : place;
	if (node.textContent !== text) node.textContent = text;
}

const colours = new Map();

export function colour(name) {
	if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
	return colours.get(name);
}

export function useTheme(name) {
	document.documentElement.dataset.theme = name;
	colours.clear();
}
