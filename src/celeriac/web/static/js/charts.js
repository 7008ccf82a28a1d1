// The home page's charts. What they draw stands in `data-points` of the element around them, which
// changes when the page has refreshed itself; the page of numbers has the same as tables. Time stands
// on the x axis in seconds; a bar covers one bucket.

const DRAG_MIN = 10;
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const exact = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const wholeSteps = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();

// --- What is drawn -------------------------------------------------------------------------------

function read(name) {
  const { bucketS, starts, [name]: { names, values, words } } = JSON.parse(document.getElementById("charts").dataset.points);
  return { bucketS, starts, names, values, words: words.length ? words : values.map((line) => line.map((value) => exact.format(value))) };
}

// --- Colours: those of the legend's marks, in whatever theme is on ---------------------------------

const legend = (box) => box.closest(".chart-panel").querySelectorAll("[data-ink]");
const inks = (box) => Object.fromEntries([...legend(box)].map((mark) => [mark.dataset.ink, getComputedStyle(mark).color]));

function axisLook(box) {
  const style = getComputedStyle(box);
  const line = { stroke: style.borderBlockEndColor, width: 1 };
  return { stroke: style.color, font: `11px ${style.fontFamily}`, grid: line, ticks: { ...line, size: 4 } };
}

// --- Kinds of charts -------------------------------------------------------------------------------

// A bar stands on the sum of those below it, and is drawn behind them.
function stacked([succeeded, failed, revoked, submitted]) {
  const upTo = (...parts) => succeeded.map((_, index) => parts.reduce((sum, part) => sum + part[index], 0));
  const where = (part, sums) => sums.map((sum, index) => (part[index] ? sum : null));
  return [where(revoked, upTo(succeeded, failed, revoked)), where(failed, upTo(succeeded, failed)), where(succeeded, succeeded), submitted];
}

const bars = (ink) => ({ fill: ink, width: 0, paths: uPlot.paths.bars({ size: [0.82, 48] }), points: { show: false } });
const line = (ink, more = {}) => ({
  stroke: ink, width: 1.75, spanGaps: true, points: { show: true, size: 5, width: 0, fill: ink, filter: lonely }, ...more,
});

// A value without neighbours is no line, so it is drawn as a point; the others need none.
function lonely(plot, series) {
  const values = plot.data[series];
  const isThere = (index) => typeof values[index] === "number";
  return values.map((_, index) => index).filter((index) => isThere(index) && !isThere(index - 1) && !isThere(index + 1));
}

// Which runs a place in a chart counts. Bars count runs when they ended, the line when they were submitted.
const parts = {
  succeeded: { words: "that succeeded", states: ["SUCCESS"] },
  failed: { words: "that failed", states: ["FAILURE", "DEAD"] },
  revoked: { words: "that were cancelled", states: ["REVOKED"] },
  ended: { words: "that ended" },
  submitted: { words: "that were submitted", begins: "since", ends: "until" },
};

const kinds = {
  throughput: {
    parts: [parts.succeeded, parts.failed, parts.revoked],
    data: ({ values }) => stacked(values),
    series: (ink) => [bars(ink.revoked), bars(ink.failed), bars(ink.succeeded), line(ink.submitted, { width: 1.5 })],
    scale: { range: (_plot, _min, max) => [0, Math.max(4, (max ?? 0) * 1.08)] },
    axis: { incrs: wholeSteps, values: (_, splits) => splits.map((value) => compact.format(value)) },
  },
  durations: {
    data: ({ values }) => values,
    series: (ink) => [line(ink.p50), line(ink.p95), line(ink.wait, { dash: [5, 4], width: 1.5 })],
    // A median of milliseconds and a worst case of minutes are both to be seen.
    scale: { distr: 3, range: (_plot, min, max) => lengthsAround(min, max) },
    axis: {
      splits: (_plot, _axis, low, high) => lengths.filter((length) => length >= low && length <= high),
      filter: (_, splits) => splits,
      values: (_, splits) => splits.map(shortDuration),
    },
  },
};

// Lengths of time that people know, each about ten of the one before it.
const lengths = [1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 86400, 864000, 8640000];

function lengthsAround(min, max) {
  if (!min || !max) return [0.001, 1];
  const low = lengths.findLast((length) => length <= min) ?? lengths[0];
  const high = lengths.find((length) => length >= max && length > low) ?? lengths.at(-1);
  return [low, high];
}

const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]];

function shortDuration(seconds) {
  const [size, unit] = units.find(([size]) => seconds >= size) ?? units.at(-1);
  return `${Number((seconds / size).toPrecision(3))} ${unit}`;
}

// --- One chart -------------------------------------------------------------------------------------

class Chart {
  constructor(box) {
    this.box = box;
    this.kind = kinds[box.dataset.chart];
    this.tip = document.createElement("div");
    this.tip.className = "chart-tip";
    this.tip.hidden = true;
    this.said = box.parentElement.querySelector("[data-said]");
    this.build();
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(box);
    box.addEventListener("keydown", (event) => this.onKey(event));
    box.addEventListener("blur", () => this.leave());
  }

  build() {
    this.plot?.destroy();
    this.table = read(this.box.dataset.chart);
    this.plot = new uPlot(this.options(), this.data(), this.box);
    this.plot.over.append(this.tip);
    this.plot.over.addEventListener("click", (event) => this.onClick(event));
    this.plot.over.addEventListener("pointerleave", () => this.leave());
  }

  // New numbers, the same drawing: nothing flickers, and the cursor stays where it is.
  update() {
    this.table = read(this.box.dataset.chart);
    this.plot.setData(this.data());
    this.showTip();
  }

  data() {
    const { starts, bucketS } = this.table;
    return [starts.map((at) => at + bucketS / 2), ...this.kind.data(this.table)];
  }

  size() {
    return { width: this.box.clientWidth, height: this.box.clientHeight };
  }

  range() {
    const { starts, bucketS } = this.table;
    return [starts[0], starts.at(-1) + bucketS];
  }

  options() {
    const look = axisLook(this.box);
    return {
      ...this.size(),
      padding: [10, 24, 0, 0], // The last label of the x axis is centred on the edge.
      legend: { show: false },
      scales: { x: { range: () => this.range() }, y: this.kind.scale },
      axes: [
        { ...look, grid: { show: false }, space: 64, size: 28, values: (_, splits, _axis, _space, step) => splits.map((at) => this.tick(at, step)) },
        { ...look, ticks: { show: false }, size: (_, labels) => 14 + 6.5 * Math.max(...(labels ?? [""]).map((label) => label.length)), ...this.kind.axis },
      ],
      series: [{}, ...this.kind.series(inks(this.box))],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, sync: { key: "home" } },
      hooks: { setCursor: [() => this.showTip()], setSelect: [() => this.onSelect()] },
    };
  }

  tick(at, stepS) {
    const date = new Date(at * 1000);
    const isMidnight = date.getHours() === 0 && date.getMinutes() === 0;
    return stepS >= 86400 || isMidnight ? day.format(date) : clock.format(date);
  }

  // --- Reading values --------------------------------------------------------------------------------

  isRead() {
    return this.isKeyed || this.plot.over.matches(":hover");
  }

  showTip() {
    const index = this.plot?.cursor.idx;
    this.tip.hidden = index === null || index === undefined || !this.isRead();
    if (this.tip.hidden) return;
    this.tip.replaceChildren(...this.lines(index));
    const x = this.plot.valToPos(this.plot.data[0][index], "x");
    const isRight = x > this.plot.over.clientWidth / 2;
    this.tip.style.insetInlineStart = isRight ? "auto" : `${x + 14}px`;
    this.tip.style.insetInlineEnd = isRight ? `${this.plot.over.clientWidth - x + 14}px` : "auto";
  }

  lines(index) {
    const marks = [...legend(this.box)];
    const head = document.createElement("b");
    head.textContent = this.span(index);
    const rows = this.table.words.map((values, column) => {
      const row = document.createElement("p");
      const words = document.createElement("span");
      words.textContent = marks[column].parentElement.textContent.trim();
      const number = document.createElement("span");
      number.textContent = values[index];
      row.append(marks[column].cloneNode(), words, number);
      return row;
    });
    const foot = document.createElement("small");
    foot.textContent = `${this.isKeyed ? "Enter" : "Click"}: those ${this.part(index).words} then`;
    return [head, ...rows, foot];
  }

  span(index) {
    const { starts, bucketS } = this.table;
    const ends = new Date((starts[index] + bucketS) * 1000);
    return `${dayAndClock.format(new Date(starts[index] * 1000))} – ${clock.format(ends)}`;
  }

  leave() {
    this.isKeyed = false;
    this.tip.hidden = true;
    this.plot.setCursor({ left: -10, top: -10 });
  }

  onKey(event) {
    const last = this.table.starts.length - 1;
    const here = this.isKeyed ? this.plot.cursor.idx : null;
    const next = {
      ArrowLeft: here === null ? last : Math.max(0, here - 1),
      ArrowRight: here === null ? 0 : Math.min(last, here + 1),
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Enter" && here !== null) this.open(here, here, this.part(here));
    if (event.key === "Escape") this.leave();
    if (next === undefined) return;
    event.preventDefault();
    this.isKeyed = true;
    this.plot.setCursor({ left: this.plot.valToPos(this.plot.data[0][next], "x"), top: 10 });
    this.said.textContent = [this.span(next), ...this.table.names.map((name, n) => `${name} ${this.table.words[n][next]}`)].join(", ");
  }

  // --- Going to the runs -------------------------------------------------------------------------------

  // The runs that the place under the pointer counts; keys, which point at no part of a bar, mean it all.
  part(index) {
    const ended = this.kind.parts ? this.kind.parts.map((_, column) => this.table.values[column][index]) : [1];
    const whole = ended.some(Boolean) ? parts.ended : parts.submitted;
    if (this.isKeyed || !this.kind.parts) return whole;
    let rest = this.plot.posToVal(this.plot.cursor.top, "y");
    const hit = ended.findIndex((count) => (rest -= count) < 0);
    return hit < 0 ? parts.submitted : this.kind.parts[hit];
  }

  open(first, last, { states = [], begins = "finished_since", ends = "finished_until" }) {
    const { starts, bucketS } = this.table;
    const instant = (at) => new Date(at * 1000).toISOString().replace(".000Z", "Z");
    const query = new URLSearchParams({ [begins]: instant(starts[first]), [ends]: instant(starts[last] + bucketS) });
    for (const state of states) query.append("state", state);
    location.assign(`${document.getElementById("charts").dataset.runs}?${query}`);
  }

  onClick(event) {
    const index = this.plot.cursor.idx;
    if (this.isDragged || index === null || index === undefined) return (this.isDragged = false);
    // A finger has no hover: its first tap reads the values, a second one on the same bar goes there.
    if (event.pointerType === "touch" && this.tapped !== index) return (this.tapped = index);
    this.open(index, index, this.part(index));
  }

  onSelect() {
    const { left, width } = this.plot.select;
    this.isDragged = width >= DRAG_MIN;
    if (this.isDragged) this.open(this.plot.posToIdx(left), this.plot.posToIdx(left + width), parts.ended);
    this.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }
}

// --- All charts of the page --------------------------------------------------------------------------

const drawn = new Map();

function draw() {
  for (const [box, chart] of drawn) {
    if (box.isConnected) continue;
    chart.plot.destroy();
    drawn.delete(box);
  }
  for (const box of document.querySelectorAll("[data-chart]")) {
    if (drawn.has(box)) drawn.get(box).update();
    else drawn.set(box, new Chart(box));
  }
}

const rebuild = () => drawn.forEach((chart) => chart.build());
new MutationObserver(rebuild).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

draw();
document.getElementById("home").addEventListener("htmx:after:swap", draw);
