// What is seen: people and their meters, the table of connections, the chart, and the decisions.

const $ = (id) => document.getElementById(id);

/** Seconds in the chart. */
const CHART_S = 60;

const QUALITIES = ["poor", "fair", "good", "excellent"];

const ROWS = [
  { title: "Loss", unit: "%", max: 20, color: "--loss", of: (point) => point.loss },
  { title: "Round trip", unit: "ms", max: 300, color: "--rtt", of: (point) => point.rtt },
  { title: "Jitter", unit: "ms", max: 60, color: "--jitter", of: (point) => point.jitter },
  { title: "Quality", unit: "", max: 3, color: "--quality", of: (point) => point.quality, text: (value) => QUALITIES[value] ?? "" },
  { title: "Bit rate", unit: "kb/s", max: 80, color: "--rate", of: (point) => point.kbps },
];

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** State line: `state` is idle, wait, good or bad. */
export function showState(state, text) {
  $("state").dataset.state = state;
  if ($("state").textContent !== text) $("state").textContent = text;
}

/** Alert with a button, or none. */
export function showAlert(text, button = null) {
  $("alert").hidden = !text;
  $("alert-text").textContent = text ?? "";
  $("retry").hidden = !button;
  if (button) $("retry").textContent = button;
}

/** Rows of people: [{ id, name, muted, isSelf, note }]. */
export function showPeople(people) {
  const list = $("people");
  for (const row of [...list.children]) if (!people.some(({ id }) => id === row.dataset.id)) row.remove();
  for (const { id, name, muted, isSelf, note } of people) {
    let row = [...list.children].find((child) => child.dataset.id === id);
    if (!row) {
      const meter = element("div", { className: "meter", role: "meter" }, element("div"));
      for (const [key, value] of [["aria-valuemin", -60], ["aria-valuemax", 0]]) meter.setAttribute(key, value);
      row = element("li", {}, element("span", { className: "person" }), meter, element("span", { className: "dbfs" }));
      row.dataset.id = id;
      list.append(row);
    }
    const details = [isSelf && "you", muted && "muted", note].filter(Boolean).join(", ");
    row.firstChild.replaceChildren(name, element("small", { textContent: details && ` (${details})` }));
    row.firstChild.title = name;
    row.children[1].setAttribute("aria-label", `Level of ${name}`);
  }
}

/** Level of a person, in dBFS. */
export function showLevel(id, dbfs, speaks) {
  const row = [...$("people").children].find((child) => child.dataset.id === id);
  if (!row) return;
  const shown = Math.max(-60, Math.min(0, dbfs));
  row.children[1].firstChild.style.transform = `scaleX(${(shown + 60) / 60})`;
  row.children[1].setAttribute("aria-valuenow", Math.round(shown));
  row.children[2].textContent = dbfs <= -90 ? "silent" : `${Math.round(dbfs)} dBFS`;
  row.classList.toggle("speaking", speaks);
}

const number = (value, digits, unit) => (Number.isFinite(value) ? `${value.toFixed(digits)} ${unit}` : "–");

/** Table of connections: [{ name, direction, state, bps }]. */
export function showQuality(rows) {
  $("quality").tBodies[0].replaceChildren(...rows.map(({ name, direction, state, bps }) => {
    const cells = [
      ["With", name], ["", direction], ["", state.quality], ["loss", number(state.loss * 100, 1, "%")],
      ["round trip", number(state.roundTripTimeMs, 0, "ms")], ["jitter", number(state.jitterMs, 0, "ms")],
      ["bit rate", number(bps / 1000, 0, "kb/s")], ["MOS", number(state.meanOpinionScore, 1, "").trim()],
    ];
    const row = element("tr", {}, ...cells.map(([label, text]) => {
      const cell = element("td", { textContent: text });
      if (label) cell.dataset.label = label;
      return cell;
    }));
    row.children[2].className = state.quality;
    row.children[2].title = state.reason ?? "";
    return row;
  }));
}

/** Whether the table and the decisions are those of a moment ago, because the server is away. */
export function showStale(isStale) {
  $("quality").classList.toggle("stale", isStale);
  $("decisions").classList.toggle("stale", isStale);
}

let decisions = new Map();

/** Decisions: [{ title, quality, reason, reasons }]; what has changed goes into the log. */
export function showDecisions(all) {
  const now = new Map(all.map(({ title, quality, reason, reasons }) => {
    const why = reason ? `${quality}: ${reason}` : quality;
    return [title, { quality, why, reasons, key: reasons.map((text) => text.split(":")[0]).join() + quality }];
  }));
  $("decisions").replaceChildren(...[...now].flatMap(([title, { why, reasons }]) => [
    element("dt", { textContent: `${title}: ${why}` }),
    ...reasons.map((text) => element("dd", { textContent: text })),
  ]));
  for (const [title, { why, reasons, key }] of now) {
    const before = decisions.get(title);
    if (before && before.key !== key) log(`${title}: ${why}; ${reasons.map((text) => text.split(":")[0]).join(", ")}`);
  }
  decisions = now;
}

/** A line in the log. */
export function log(text) {
  const time = new Date().toLocaleTimeString();
  $("log").prepend(element("p", { textContent: `${time} ${text}` }));
  while ($("log").children.length > 50) $("log").lastChild.remove();
}

export function clear() {
  $("people").replaceChildren();
  $("quality").tBodies[0].replaceChildren();
  $("decisions").replaceChildren();
  decisions = new Map();
  points.length = 0;
}

const points = [];

/** A point of the chart: { loss, rtt, jitter, quality, kbps }. */
export function addPoint(point) {
  points.push({ at: performance.now() / 1000, ...point, quality: QUALITIES.indexOf(point.quality) });
  while (points[0].at < performance.now() / 1000 - CHART_S - 2) points.shift();
  drawChart();
}

export function drawChart() {
  const canvas = $("chart");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name);
  context.scale(scale, scale);
  context.font = "12px system-ui, sans-serif";
  const [left, right] = [96, 8];
  const each = height / ROWS.length;
  const end = performance.now() / 1000;
  const x = (at) => width - right - ((end - at) / CHART_S) * (width - left - right);
  ROWS.forEach((row, index) => {
    const [top, bottom] = [index * each + 6, (index + 1) * each - 6];
    const values = points.map(row.of).filter(Number.isFinite);
    const max = Math.max(row.max, ...values);
    const y = (value) => bottom - (value / max) * (bottom - top);
    context.strokeStyle = color("--line");
    context.lineWidth = 1;
    context.strokeRect(left, top, width - left - right, bottom - top);
    context.fillStyle = color("--soft");
    context.fillText(row.title, 0, top + 12);
    const last = values.at(-1);
    const text = last === undefined ? "–" : row.text?.(last) ?? `${last < 10 ? last.toFixed(1) : Math.round(last)} ${row.unit}`;
    context.fillStyle = color(row.color);
    context.fillText(text, 0, top + 28);
    context.strokeStyle = color(row.color);
    context.lineWidth = 2;
    context.beginPath();
    let isDown = false;
    for (const point of points) {
      const value = row.of(point);
      if (!Number.isFinite(value) || x(point.at) < left) {
        isDown = false;
        continue;
      }
      context[isDown ? "lineTo" : "moveTo"](x(point.at), y(value));
      isDown = true;
    }
    context.stroke();
  });
}
