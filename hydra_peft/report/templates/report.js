"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);

  // Everything that comes from records is put in as text, never as markup.
  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "class") element.className = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // --- theme ---------------------------------------------------------------------------------
  const button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = (value) => {
    try { // a browser may keep nothing for pages that are files
      if (value) localStorage.setItem("hydra_peft-theme", value);
      return localStorage.getItem("hydra_peft-theme");
    } catch { return null; }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  const kept = stored();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    label();
  });
  dark.addEventListener("change", label);
  button.hidden = false;
  label();

  // --- sorting -------------------------------------------------------------------------------
  const number = /^[+-]?[\d,]*\.?\d+/;
  function keyOf(row, column) {
    const cell = row.cells[column];
    if (!cell) return null;
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    if (text === "" || text === "–" || text === "-") return null;
    const found = cell.classList.contains("number") && !/^\d{4}-/.test(text) && text.match(number);
    return found ? Number(found[0].replaceAll(",", "")) : text;
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }
  const NEXT = { text: ["ascending", "descending", "none"], number: ["descending", "ascending", "none"] };
  function sortTable(table, head) {
    const column = head.cellIndex;
    const order = NEXT[head.classList.contains("number") ? "number" : "text"];
    const direction = order[(order.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "descending" ? -1 : 1;
    const arrange = (units, keys) => {
      const places = units.map((unit, place) => ({ unit, key: keys(unit), place: unit.place ??= place }));
      places.sort((a, b) => {
        if (direction === "none") return a.unit.place - b.unit.place;
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
        return sign * compare(a.key, b.key) || a.unit.place - b.unit.place;
      });
      return places.map((entry) => entry.unit);
    };
    if (table.classList.contains("blocks")) { // a paper's row and what was measured of it stay together
      const key = (body) => [...body.rows].map((row) => keyOf(row, column)).find((x) => x !== null) ?? null;
      table.append(...arrange([...table.tBodies], key));
      return;
    }
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("part"));
      body.append(...arrange(rows, (row) => keyOf(row, column)));
    }
  }
  for (const table of all("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const pressed = event.target.closest("button.sort");
      if (pressed) sortTable(table, pressed.closest("th"));
    });
  }

  // --- filters -------------------------------------------------------------------------------
  const words = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (row, wanted) => {
    const text = row.textContent.toLowerCase();
    return wanted.every((word) => text.includes(word));
  };
  function filterRows() {
    const wanted = words(byId("row-filter"));
    let shown = 0, count = 0;
    for (const body of all("table.filtered tbody")) {
      let inPart = 0;
      for (const row of all("tr:not(.part)", body)) {
        row.hidden = !has(row.cells[0], wanted);
        count += 1;
        inPart += !row.hidden;
      }
      body.hidden = inPart === 0;
      shown += inPart;
    }
    byId("row-count").textContent = wanted.length ? `${shown} of ${count} rows` : "";
  }
  byId("row-filter")?.addEventListener("input", filterRows);

  const form = byId("run-filters");
  const rows = [...byId("run-table").tBodies[0].rows];
  function filterRuns() {
    const wanted = words(byId("run-filter"));
    const facets = all("select", form).filter((select) => select.value !== "");
    let shown = 0;
    for (const row of rows) {
      const fits = (select) => row.cells[select.dataset.column].textContent.trim() === select.value.trim();
      row.hidden = !(facets.every(fits) && has(row, wanted));
      shown += !row.hidden;
    }
    byId("run-count").textContent = `${shown === rows.length ? "" : `${shown} of `}${rows.length} run${rows.length === 1 ? "" : "s"}`;
  }
  form.addEventListener("input", filterRuns);
  form.addEventListener("reset", () => setTimeout(filterRuns));
  form.addEventListener("submit", (event) => event.preventDefault());
  filterRuns();

  // --- one run -------------------------------------------------------------------------------
  const data = JSON.parse(byId("data").textContent);
  const dialog = byId("run");
  const SVG = "http://www.w3.org/2000/svg";
  function draw(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }
  const short = (value) => {
    const text = String(Number(value.toPrecision(3)));
    return text.length > 6 ? value.toExponential(1) : text;
  };

  function plot(title, epochs, values, count) {
    const points = epochs.map((x, i) => [x, values[i]]).filter(([, y]) => y !== null);
    const figure = make("figure", {}, make("figcaption", {}, title));
    if (!points.length) {
      figure.append(make("p", { class: "muted" }, "no finite value"));
      return figure;
    }
    const width = 320, height = 150, left = 48, right = 8, top = 8, bottom = 22;
    const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
    const flat = y1 === y0;
    if (flat) { y0 -= 0.5; y1 += 0.5; }
    const x = (v) => (x1 === x0 ? (left + width - right) / 2 : left + ((v - x0) / (x1 - x0)) * (width - left - right));
    const y = (v) => top + (1 - (v - y0) / (y1 - y0)) * (height - top - bottom);
    const last = points[points.length - 1];
    const said = `${title}: ${short(points[0][1])} in epoch ${points[0][0]}, ${short(last[1])} in epoch ${last[0]}, ` +
      `between ${short(Math.min(...ys))} and ${short(Math.max(...ys))}`;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said });
    for (const value of flat ? [ys[0]] : [y0, (y0 + y1) / 2, y1]) {
      svg.append(draw("line", { x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      svg.append(draw("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    svg.append(draw("text", { x: x(x0), y: height - 6, "text-anchor": x1 === x0 ? "middle" : "start" }, `epoch ${x0}`));
    if (x1 > x0) svg.append(draw("text", { x: x(x1), y: height - 6, "text-anchor": "end" }, x1));
    const path = points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    if (points.length > 1) svg.append(draw("path", { class: "curve", d: path }));
    svg.append(draw("circle", { cx: x(last[0]), cy: y(last[1]), r: 3 }));
    figure.append(svg);
    if (count > epochs.length) figure.append(make("p", { class: "muted" }, `${epochs.length} of ${count} epochs drawn`));
    return figure;
  }

  function show(value) {
    if (value === null) return "–";
    if (Array.isArray(value)) {
      if (value.every((item) => item === null || typeof item !== "object")) return value.join(", ") || "–";
      const list = make("div");
      list.append(...value.map(show));
      return list;
    }
    if (typeof value === "object") return listing(value);
    if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
    if (typeof value === "number" && Math.abs(value) >= 10000) return value.toLocaleString("en");
    if (typeof value === "string" && /^[0-9a-f]{32,}$/.test(value)) return make("span", { class: "hash" }, value);
    return String(value);
  }
  function listing(values) {
    const list = make("dl");
    for (const [name, value] of Object.entries(values)) list.append(make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, show(value)));
    return list;
  }
  const ASIDE = new Set(["settings"]);

  function fill(run) {
    const close = make("button", { type: "button", class: "quiet" }, "Close");
    close.addEventListener("click", () => dialog.close());
    const badges = make("p", { class: "badges" });
    badges.append(make("span", { class: `status ${run.status}` }, run.status), " ");
    const marks = [[`protocol ${run.protocol}`, "plain", ""], ...run.badges];
    const from = data.pool[run.record.data] ?? {};
    if (run.scored_on) marks.splice(1, 0, [run.scored_on, "plain", ""]);
    if (from.lineage) marks.splice(-run.badges.length || marks.length, 0, [`data ${from.lineage}`, "plain", ""]);
    for (const [text, kind, title] of marks) badges.append(make("span", { class: `badge ${kind}`, title }, text));
    const head = make("div", { class: "run-head" },
      make("div", {}, make("h2", { id: "run-title" }, `${run.title}, ${run.task}, seed ${run.seed}`), badges), close);
    const body = make("div", { class: "run-body" });
    if (run.cause) body.append(make("p", { class: "cause" }, run.cause));
    if (run.traceback) body.append(make("details", { open: "" }, make("summary", {}, "Traceback (its end)"), make("pre", { tabindex: 0 }, run.traceback)));
    const facts = {};
    if (run.score) facts[run.metric] = `${run.score}, measured`;
    Object.assign(facts, { backbone: run.model, folder: run.folder, config_id: run.id, started: run.started });
    if (run.ended) facts.ended = run.ended;
    if (run.confusion) facts.confusion_matrix = run.confusion;
    body.append(listing(facts));
    if (run.curves) {
      const { epochs, losses, accuracies, count } = run.curves;
      const plots = [plot("training loss", epochs, losses, count)];
      if (accuracies.some((value) => value !== null)) plots.push(plot("training accuracy (%)", epochs, accuracies, count));
      body.append(make("h3", {}, "Learning curves"), make("div", { class: "plots" }, ...plots));
    }
    for (const [name, title] of Object.entries(data.parts)) {
      if (run.record[name] === undefined) continue;
      const content = show(data.pool[run.record[name]]);
      if (ASIDE.has(name)) body.append(make("details", {}, make("summary", {}, title), content));
      else body.append(make("h3", {}, title), content);
    }
    const config = (run.config ?? []).map((part) => data.pool[part]).join("");
    if (config) body.append(make("details", {}, make("summary", {}, "config.yaml"), make("pre", { tabindex: 0 }, config)));
    dialog.replaceChildren(head, body);
  }

  function follow() {
    const key = location.hash.startsWith("#run-") ? location.hash.slice(5) : "";
    if (!Object.hasOwn(data.runs, key)) {
      if (dialog.open) dialog.close();
      return;
    }
    fill(data.runs[key]);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }
  dialog.addEventListener("close", () => {
    if (location.hash.startsWith("#run-")) history.replaceState(null, "", location.href.split("#")[0]);
  });
  dialog.addEventListener("click", (event) => { // beside the panel
    if (event.target === dialog && event.clientX < dialog.getBoundingClientRect().left) dialog.close();
  });
  addEventListener("hashchange", follow);
  follow();
})();
