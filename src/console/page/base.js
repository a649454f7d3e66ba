"use strict";
// What the rest builds on: elements, figures as people read them, charts. Text from the bus only ever becomes text:
// nothing here makes markup of it.

const $ = (id) => document.getElementById(id);

/** An element with text or children, and attributes. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") element.addEventListener("click", value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// ---- figures

const whole = new Intl.NumberFormat("en");

function count(number) {
  return number < 1e7 ? whole.format(number) : short(number);
}

/** Three digits and a unit: 12.3k. */
function short(number) {
  const units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, unit] = units.find(([size]) => number >= size * 0.9995) || [1, ""];
  const value = number / size;
  const digits = value >= 100 || (value === Math.round(value) && size === 1) ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(value < 0.005 ? 0 : digits) + unit;
}

function rate(number) {
  return number > 0 ? short(number) : "0";
}

function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.05) return "< 0.1 %";
  return (value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)) + " %";
}

/** 812 ns, 3.1 ms, 12 s, 4.2 min. */
function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds <= 0) return "0";
  const [size, unit] = seconds < 0.9995e-6 ? [1e-9, "ns"] : seconds < 0.9995e-3 ? [1e-6, "µs"] : seconds < 0.9995 ? [1e-3, "ms"]
    : seconds < 119.5 ? [1, "s"] : seconds < 7170 ? [60, "min"] : seconds < 172000 ? [3600, "h"] : [86400, "d"];
  const value = seconds / size;
  return (value < 9.95 && unit !== "ns" ? value.toFixed(1).replace(/\.0$/, "") : value.toFixed(0)) + " " + unit;
}

function bytes(number) {
  const units = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];
  const [size, unit] = units.find(([size]) => number >= size) || [1, "B"];
  const value = number / size;
  return (size === 1 || value >= 100 ? value.toFixed(0) : value.toFixed(1)) + " " + unit;
}

// ---- charts

function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A line over an area, from 0 to the highest value; `draw` takes points of [time, value]. */
function chart(kind, label) {
  const svg = shape("svg", { class: kind, viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img" });
  const area = shape("path", { class: "area" });
  const line = shape("path", { class: "line" });
  svg.append(area, line);
  svg.setAttribute("aria-label", label);
  return {
    svg,
    draw(points, least, words) {
      if (words) mark(svg, "aria-label", words);
      if (points.length < 2) {
        area.setAttribute("d", "");
        line.setAttribute("d", "");
        return;
      }
      const [first, last] = [points[0][0], points[points.length - 1][0]];
      const top = Math.max(least, ...points.map((point) => point[1]));
      const x = (at) => ((at - first) / Math.max(1e-9, last - first) * 100).toFixed(2);
      const y = (value) => (39 - value / top * 37).toFixed(2);
      const path = points.map(([at, value], n) => (n ? "L" : "M") + x(at) + " " + y(value)).join("");
      line.setAttribute("d", path);
      area.setAttribute("d", path + "L100 40L0 40Z");
    },
  };
}

/** Buckets of a timing as bars, on the logarithm of time. */
function histogram(timing) {
  const box = make("div");
  if (!timing.buckets.length) {
    box.append(make("p", { class: "quiet" }, "not measured yet"));
    return box;
  }
  const from = Math.log(timing.buckets[0].at_most) - 0.25;
  const to = Math.log(timing.buckets[timing.buckets.length - 1].at_most) + 0.01;
  const top = Math.max(...timing.buckets.map((bucket) => bucket.count));
  const svg = shape("svg", { class: "histogram", viewBox: "0 0 100 50", preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", `half took at most ${time(timing.p50)}, 99 % ${time(timing.p99)}, the longest ${time(timing.max)}`);
  for (const bucket of timing.buckets) {
    const height = Math.max(0.8, Math.sqrt(bucket.count / top) * 50);
    const right = (Math.log(bucket.at_most) - from) / (to - from) * 100;
    const width = Math.max(0.6, Math.min(12, 0.2 / (to - from) * 100));
    svg.append(shape("rect", { x: right - width, y: 50 - height, width, height }));
  }
  box.append(svg, make("div", { class: "axis" }, make("span", {}, time(timing.min)), make("span", {}, time(timing.max))));
  return box;
}
