// Explorers on a page without a kernel. Each <figure class="explorer"> holds the stored picture and, as JSON, what
// helpers/classroom/export.py wrote: controls, an SVG, and either all states or the name of a drawing.
// A drawing is registered as lossLab.drawings.NAME = (data) => (values) => ({ svg, text }), both strings.
"use strict";

// A number with `digits` decimals, rounded as Python rounds: exactly, and a tie to the even digit.
function fixed(value, digits) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const size = Math.abs(value), halves = size * 2 ** (digits + 1);
  let text = size.toFixed(digits);
  if (Number.isInteger(halves) && halves % 2 === 1) {
    const below = Math.floor(size * 10 ** digits);
    text = ((below + (below % 2)) / 10 ** digits).toFixed(digits);
  }
  return (value < 0 || Object.is(value, -0) ? "-" : "") + text;
}

// The same with the minus sign of mathematics and no sign on zero; "+" before what is positive, where `plus`.
function signed(value, digits, plus = false) {
  const text = fixed(value, digits);
  if (Number(text) === 0) return text.replace("-", "");
  return (plus && value > 0 ? "+" : "") + text.replace("-", "−");
}

// From the numbers of an axes to places in the SVG.
function scales({ left, top, width, height, xlim, ylim }) {
  return {
    x: (value) => left + (value - xlim[0]) / (xlim[1] - xlim[0]) * width,
    y: (value) => top + height - (value - ylim[0]) / (ylim[1] - ylim[0]) * height,
  };
}

const place = (number) => Number(number.toFixed(3));
const shape = {
  rect: (x0, y0, x1, y1, style) => `<rect x="${place(Math.min(x0, x1))}" y="${place(Math.min(y0, y1))}"` +
    ` width="${place(Math.abs(x1 - x0))}" height="${place(Math.abs(y1 - y0))}" style="${style}"/>`,
  line: (points, style) => `<polyline points="${points.map((point) => point.map(place).join(",")).join(" ")}"` +
    ` style="fill:none;${style}"/>`,
  dot: (x, y, radius, style) => `<circle cx="${place(x)}" cy="${place(y)}" r="${radius}" style="${style}"/>`,
  text: (x, y, words, size, anchor = "start") =>
    `<text x="${place(x)}" y="${place(y)}" font-size="${size}" text-anchor="${anchor}">${words}</text>`,
};

// Horizontal bars in rows 0, 1, ..., each with its number at its end.
function bars(axes, lengths, colours, digits, limits = axes.xlim) {
  const { x, y } = scales({ ...axes, xlim: limits });
  return lengths.map((length, row) => {
    const right = length >= 0;
    return shape.rect(x(0), y(row - 0.4), x(length), y(row + 0.4), `fill:var(--${colours[row]});stroke:var(--ink)`) +
      shape.text(x(length) + (right ? 5.4 : -5.4), y(row) + 4.6, signed(length, digits), 13, right ? "start" : "end");
  }).join("");
}

async function inflated(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

// What to draw for the positions of all controls: the parts that changed, and the text.
function fromStates(controls, states) {
  const shown = [];
  return (positions) => {
    const index = positions.reduce((sum, position, i) => sum * controls[i].count + position, 0);
    const row = states.shown[index];
    const changed = states.parts.flatMap((drawings, i) =>
      shown[i] === row[i] ? [] : [[i, drawings[shown[i] = row[i]]]]);
    return { changed, text: row.slice(states.parts.length).map((line) => states.lines[line]).join("\n") };
  };
}

function fromDrawing(controls, drawn) {
  return (positions) => {
    const values = Object.fromEntries(controls.map((control, i) => [control.name, control.value(positions[i])]));
    const { svg, text } = drawn(values);
    return { changed: [[0, svg]], text };
  };
}

// One control: its row on the page, and the position of the value that it holds among those that it can hold.
function makeControl(described, id) {
  const { name, label, kind, values, labels, renamed } = described;
  const range = kind === "range";
  const count = range ? Math.round((described.max - described.min) / described.step) + 1
    : kind === "checkbox" ? 2 : values.length;
  const value = (at) => range ? Number((described.min + at * described.step).toFixed(9))
    : kind === "checkbox" ? at === 1 : values[at];
  const reading = (at) => range ? fixed(value(at), described.digits).replace("-", "−") : labels?.[at] ?? "";
  const input = document.createElement(kind === "select" ? "select" : "input");
  const output = document.createElement("output");
  let get = () => Number(input.value), put = (at) => { input.value = at; }, hidden;
  const rename = (hide) => { // a list that a checkbox gives other labels and another order; what is chosen stays
    if (kind !== "select" || hide === hidden) return;
    const chosen = get();
    input.replaceChildren(...labels.map((text, at) => hide ? new Option(renamed.labels[at], renamed.order[at]) : new Option(text, at)));
    put(chosen);
    hidden = hide;
  };
  if (kind === "select") rename(false);
  else if (kind === "checkbox") {
    input.type = "checkbox";
    [get, put] = [() => Number(input.checked), (at) => { input.checked = at === 1; }];
  } else if (kind === "list") {
    Object.assign(input, { type: "range", min: 0, max: count - 1, step: 1 });
  } else {
    Object.assign(input, { type: "range", min: described.min, max: described.max, step: described.step });
    [get, put] = [() => Math.round((input.value - described.min) / described.step), (at) => { input.value = value(at); }];
  }
  input.id = id;
  const row = document.createElement("label");
  const words = Object.assign(document.createElement("span"), { textContent: label });
  row.append(words, input, ...(kind === "range" || kind === "list" ? [output] : []));
  const show = () => {
    output.textContent = reading(get());
    if (kind === "list") input.setAttribute("aria-valuetext", output.textContent);
  };
  const of = (wanted) => Array.from({ length: count }, (_, k) => String(value(k))).indexOf(String(wanted));
  const inAddress = renamed ? { to: String, from: (at) => at in values ? Number(at) : -1 } : { to: value, from: of };
  return { name, label, count, value, row, input, renamed, rename, get, show, of, inAddress, put: (at) => { put(at); show(); } };
}

async function start(figure, number, all) {
  const data = all[number - 1];
  if ("like" in data) Object.assign(data, { ...all[data.like], ...data });
  const unique = (svg) => svg.replace(/ id="/g, ` id="e${number}-`)
    .replace(/href="#/g, `href="#e${number}-`).replace(/url\(#/g, `url(#e${number}-`);
  const controls = data.controls.map((described) => makeControl(described, `e${number}-${described.name}`));
  const states = data.states && await inflated(data.states);
  if (states) states.parts = states.parts.map((drawings) => drawings.map(unique));
  const next = states ? fromStates(controls, states)
    : fromDrawing(controls, lossLab.drawings[data.drawing.name](data));

  const panel = Object.assign(document.createElement("div"), { className: "controls" });
  const grouped = data.groups.flat();
  for (const names of [...data.groups, ...controls.map(({ name }) => [name]).filter(([name]) => !grouped.includes(name))]) {
    const members = controls.filter(({ name }) => names.includes(name));
    const className = members.every(({ label }) => label.length < 4) ? "short" : "long";
    const group = Object.assign(document.createElement("div"), { className });
    group.append(...members.map(({ row }) => row));
    panel.append(group);
  }
  const holder = document.createElement("div");
  holder.innerHTML = `<svg viewBox="0 0 ${data.width} ${data.height}" role="img"><defs>${unique(data.defs)}</defs>` +
    `${unique(data.background)}</svg>`;
  const svg = holder.firstChild;
  const parts = Array.from({ length: states ? states.parts.length : 1 }, () =>
    svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "g")));
  const numbers = document.createElement("pre");
  const move = () => {
    for (const one of controls.filter(({ renamed }) => renamed)) {
      const box = controls.find(({ name }) => name === one.renamed.by);
      one.rename(box.value(box.get()) === one.renamed.when);
    }
    const { changed, text } = next(controls.map(({ get }) => get()));
    for (const [part, drawn] of changed) parts[part].innerHTML = drawn;
    numbers.textContent = text;
    svg.setAttribute("aria-label", text);
  };
  controls.forEach((one, i) => {
    one.put(one.of(data.controls[i].value));
    one.input.addEventListener("input", () => {
      one.show();
      move();
      const address = controls.map((each) => `${each.name}=${encodeURIComponent(each.inAddress.to(each.get()))}`);
      history.replaceState(null, "", `#${[...address, `at=${number}`].join("&")}`);
    });
  });
  move();
  if (data.light) figure.classList.add("light");
  figure.replaceChildren(panel, svg, numbers);
  figure.dataset.moves = "";
  const knows = (wanted) => [...wanted.keys()].every((name) => name === "at" || controls.some((one) => one.name === name));
  const goTo = (wanted) => {
    for (const one of controls) {
      const at = one.inAddress.from(wanted.get(one.name));
      if (at >= 0) one.put(at);
    }
    move();
    figure.scrollIntoView();
  };
  return { knows, goTo };
}

// The address #n1=3&m2=1 moves the first explorer that has controls of these names; with &at=2 the second of the page.
async function startAll() {
  const figures = [...document.querySelectorAll("figure.explorer")];
  const all = figures.map((figure) => JSON.parse(figure.querySelector("script").textContent));
  const explorers = await Promise.all(figures.map((figure, i) => start(figure, i + 1, all)));
  const go = () => {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (![...wanted.values()].some(Boolean)) return; // a heading's address
    const one = wanted.has("at") ? explorers[wanted.get("at") - 1] : explorers.find(({ knows }) => knows(wanted));
    if (one?.knows(wanted)) one.goTo(wanted);
  };
  window.addEventListener("hashchange", go);
  go();
}

const lossLab = { drawings: {}, fixed, signed, scales, shape, bars };
document.addEventListener("DOMContentLoaded", startAll);
