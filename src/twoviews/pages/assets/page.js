"use strict";
// The report's behaviour: curves, the map with its tooltip, filters and keys, light and dark. All texts of the user's go in by textContent.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const palette = ["#3b78c2", "#d2601a", "#2f9e63", "#9455c4", "#c0392b", "#138d90", "#b8860b", "#d6539c", "#6b7f2a", "#5d6d7e",
    "#7aa6dd", "#f0a36b", "#7fcba1", "#c3a0e0", "#e08a80", "#74c5c7", "#dcc06a", "#eda3cb", "#adbf73", "#a3b0bd"];
  const charts = [];
  const root = document.documentElement;
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const ink = () => getComputedStyle(root).getPropertyValue("--ink").trim();
  const soft = () => getComputedStyle(root).getPropertyValue("--soft").trim();
  const line = () => getComputedStyle(root).getPropertyValue("--line").trim();
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const short = value => Math.abs(value) >= 1000 ? value.toFixed(0) : String(+value.toPrecision(4));

  // Curves: a chart each; a run is a series, and of one run what belongs together shares a chart.
  const groups = [["loss", "loss_chance"], ["contrast_acc"], ["probe", "knn"], ["rank"], ["alignment", "uniformity"], ["std"], ["learning_rate"],
    ["gradient_norm"], ["images_per_second"], ["data_wait"]];
  const many = data.names.length > 1;
  const axis = (extra) => ({ axisLabel: { color: soft(), hideOverlap: true, formatter: extra }, axisLine: { lineStyle: { color: line() } }, splitLine: { lineStyle: { color: line(), opacity: 0.6 } } });
  function curve(place, names) {
    const chart = echarts.init(place, null, { renderer: "canvas" });
    const draw = () => {
      const series = [];
      data.names.forEach((run, r) => names.forEach((name, k) => {
        const points = data.curves[r][name];
        if (!points || !points.length || (many && name === "loss_chance" && r > 0)) return;
        const chance = name === "loss_chance";
        series.push({ type: "line", name: many ? (chance ? data.titles[name] : names.length > 1 && names[0] !== "loss" ? `${run}: ${data.titles[name]}` : run) : data.titles[name], data: points,
          showSymbol: points.length < 4, lineStyle: { width: chance ? 1 : 1.8, type: chance ? "dotted" : k && many ? "dashed" : "solid" },
          color: chance ? soft() : palette[(many ? r : k) % palette.length], animation: false });
      }));
      chart.setOption({
        title: { text: names.filter(n => n !== "loss_chance").map(n => data.titles[n]).join(", "), textStyle: { color: ink(), fontSize: 13 }, left: 8, top: 6 },
        legend: { show: series.length > 1, bottom: 0, type: "scroll", textStyle: { color: soft() }, itemWidth: 18 },
        grid: { left: 54, right: 14, top: 34, bottom: series.length > 1 ? 50 : 28 },
        tooltip: { trigger: "axis", valueFormatter: v => v === undefined ? "" : short(v), axisPointer: { label: { formatter: p => `epoch ${short(p.value)}` } } },
        xAxis: { type: "value", min: "dataMin", max: "dataMax", ...axis(v => short(v)), splitLine: { show: false } }, yAxis: { type: "value", scale: true, ...axis() }, series,
      }, true);
    };
    draw();
    charts.push({ chart, draw });
  }
  const board = document.getElementById("charts");
  for (const names of groups) {
    if (!names.some(name => data.curves.some(own => own[name].length))) continue;
    const place = board.appendChild(element("div", undefined, "chart"));
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", names.filter(n => n !== "loss_chance").map(n => `${data.titles[n]}: ` +
      data.names.map((run, r) => { const p = data.curves[r][n]; return p.length ? `${many ? run + " " : ""}from ${short(p[0][1])} to ${short(p[p.length - 1][1])}` : ""; }).filter(Boolean).join(", ")).join("; "));
    curve(place, names);
  }

  // The map.
  if (data.map) {
    const m = data.map, count = m.names.length, place = document.getElementById("cloud"), detail = document.getElementById("detail");
    const colour = document.getElementById("colour"), find = document.getElementById("find"), shown = document.getElementById("shown"), box = document.getElementById("groups");
    const chart = echarts.init(place, null, { renderer: "canvas" });
    const lower = m.names.map(name => name.toLowerCase());
    const limits = m.loss ? [Math.min(...m.loss), Math.max(...m.loss)] : [0, 1];
    const groupOf = { label: i => m.labels[i], cluster: i => m.cluster[i] };
    const nameOf = { label: g => g < 0 ? "no label" : m.classes[g], cluster: g => `cluster ${g + 1}` };
    let off = new Set(), selected = -1, visible = [];
    const ramp = share => { const a = [68, 90, 180], b = [240, 190, 50], c = a.map((v, k) => Math.round(v + (b[k] - v) * share)); return `rgb(${c})`; };
    const colourOf = i => colour.value === "loss" ? ramp((m.loss[i] - limits[0]) / Math.max(1e-9, limits[1] - limits[0])) : groupColour(groupOf[colour.value](i));
    const groupColour = g => g < 0 ? "#888888" : palette[g % palette.length];

    function tile(i, size) {
      const made = element("span", undefined, "tile"), scale = size / data.tile, at = i % (data.sheet * data.sheet);
      const rows = Math.ceil(Math.min(count - Math.floor(i / data.sheet ** 2) * data.sheet ** 2, data.sheet ** 2) / data.sheet);
      made.style.cssText = `width:${size}px;height:${size}px;background-position:-${(at % data.sheet) * size}px -${Math.floor(at / data.sheet) * size}px;` +
        `background-size:${data.sheet * size}px ${rows * size}px`;
      made.style.backgroundImage = `url(${urls[Math.floor(i / data.sheet ** 2)]})`;
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", m.names[i]);
      return made;
    }
    // Blobs instead of data: URLs, so that a sheet is decoded once and not for each picture shown.
    const urls = m.sheets.map(sheet => {
      const bytes = Uint8Array.from(atob(sheet.slice(sheet.indexOf(",") + 1)), c => c.charCodeAt(0));
      return URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
    });
    const facts = i => [m.labels ? nameOf.label(m.labels[i]) : "", nameOf.cluster(m.cluster[i]), m.loss ? `loss ${short(m.loss[i])}` : ""].filter(Boolean).join(" · ");
    function describe(i) {
      const made = element("div");
      made.append(tile(i, 120), element("div", m.names[i].length > 60 ? "…" + m.names[i].slice(-58) : m.names[i]), element("div", facts(i), "note"));
      return made;
    }
    function select(i) {
      selected = i;
      detail.replaceChildren(tile(i, 200), element("p", m.names[i]), element("p", facts(i), "note"), element("p", "Nearest:", "note"));
      const near = detail.appendChild(element("div", undefined, "near"));
      for (const other of m.near[i]) {
        const button = near.appendChild(element("button", undefined, "tile"));
        button.type = "button";
        button.append(tile(other, 52));
        button.setAttribute("aria-label", `Go to ${m.names[other]}`);
        button.addEventListener("click", () => { select(other); mark(); });
      }
      place.setAttribute("aria-label", `Map of pictures; chosen: ${m.names[i]}`);
    }
    const mark = () => chart.setOption({ series: [{ id: "mark", data: selected < 0 ? [] : [m.place[selected]] }] });
    function draw() {
      const wanted = find.value.trim().toLowerCase(), grouped = groupOf[colour.value];
      visible = [];
      for (let i = 0; i < count; i++) if ((!wanted || lower[i].includes(wanted)) && !(grouped && off.has(grouped(i)))) visible.push(i);
      shown.textContent = `${visible.length.toLocaleString("en")} of ${count.toLocaleString("en")} shown`;
      const size = count > 4000 ? 5 : count > 1000 ? 7 : 9;
      chart.setOption({
        animation: false, grid: { left: 8, right: 8, top: 8, bottom: 8 },
        xAxis: { type: "value", min: -1.05, max: 1.05, show: false }, yAxis: { type: "value", min: -1.05, max: 1.05, show: false },
        dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none" }, { type: "inside", yAxisIndex: 0, filterMode: "none" }],
        tooltip: { trigger: "item", transitionDuration: 0, confine: true, backgroundColor: getComputedStyle(root).getPropertyValue("--paper"), textStyle: { color: ink() }, borderColor: line(), formatter: p => p.seriesId === "points" ? describe(visible[p.dataIndex]) : "" },
        series: [
          { id: "points", type: "scatter", symbolSize: size, data: visible.map(i => ({ value: m.place[i], itemStyle: { color: colourOf(i), opacity: 0.8 } })), progressive: 0, cursor: "pointer" },
          { id: "mark", type: "scatter", symbolSize: 22, silent: true, itemStyle: { color: "transparent", borderColor: ink(), borderWidth: 3 }, data: selected < 0 ? [] : [m.place[selected]], z: 5 },
        ],
      });
    }
    function legend() {
      off = new Set();
      box.querySelectorAll("label, button, span").forEach(old => old.remove());
      if (colour.value === "loss") {
        const bar = element("span", undefined, "scale");
        bar.style.background = `linear-gradient(90deg, ${ramp(0)}, ${ramp(1)})`;
        box.append(element("span", short(limits[0])), bar, element("span", short(limits[1])));
        return;
      }
      const name = colour.value, present = [...new Set(Array.from({ length: count }, (_, i) => groupOf[name](i)))].sort((a, b) => a - b);
      for (const g of present) {
        const label = box.appendChild(element("label")), check = label.appendChild(element("input")), dot = label.appendChild(element("i"));
        check.type = "checkbox";
        check.checked = true;
        check.dataset.group = g;
        dot.style.background = groupColour(g);
        label.append(nameOf[name](g));
        check.addEventListener("change", () => { check.checked ? off.delete(g) : off.add(g); draw(); });
      }
      if (present.length > 2) {
        const button = box.appendChild(element("button", "all / none"));
        button.type = "button";
        button.addEventListener("click", () => {
          const any = off.size < present.length;
          off = new Set(any ? present : []);
          box.querySelectorAll("input").forEach(check => { check.checked = !any; });
          draw();
        });
      }
    }
    colour.addEventListener("change", () => { legend(); draw(); });
    find.addEventListener("input", draw);
    chart.on("click", p => { if (p.seriesId === "points") { select(visible[p.dataIndex]); mark(); } });
    const view = () => chart.getOption().dataZoom.map(z => [z.start, z.end]);
    const zoomTo = ranges => ranges.forEach(([start, end], k) => chart.dispatchAction({ type: "dataZoom", dataZoomIndex: k, start, end }));
    const zoom = factor => zoomTo(view().map(([a, b]) => { const middle = (a + b) / 2, half = Math.min(50, (b - a) / 2 * factor); const low = Math.max(0, Math.min(100 - 2 * half, middle - half)); return [low, low + 2 * half]; }));
    const move = (dx, dy) => zoomTo(view().map(([a, b], k) => { const by = (k ? dy : dx) * (b - a) / 6, low = Math.max(0, Math.min(100 - (b - a), a + by)); return [low, low + b - a]; }));
    const step = by => {
      if (!visible.length) return;
      const at = visible.indexOf(selected);
      select(visible[at < 0 ? (by > 0 ? 0 : visible.length - 1) : (at + by + visible.length) % visible.length]);
      mark();
    };
    const keys = { ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, 1), ArrowDown: () => move(0, -1), "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7), "0": () => zoomTo([[0, 100], [0, 100]]), n: () => step(1), p: () => step(-1) };
    place.addEventListener("keydown", event => {
      const act = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
      if (act) { event.preventDefault(); act(); }
    });
    legend();
    draw();
    charts.push({ chart, draw });
    window.twoviewsMap = { chart, view, visible: () => visible, selected: () => selected };
  }

  const redraw = () => charts.forEach(one => one.draw());
  document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => charts.forEach(one => one.chart.resize())).observe(document.body);
})();
