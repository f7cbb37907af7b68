// Draws the report from the data that stands in the page; where it is live, again with newer data.
(() => {
  "use strict";
  const began = performance.now();
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const kinds = ["done", "failed", "preempted", "interrupted", "vanished", "running"];
  const marks = { lost: ["✕", "vanished", "not heard of again"], given_back: ["▼", "preempted", "gave a chunk back"],
    taken_over: ["▲", "running", "took a chunk over"] };
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const number = (n) => n.toLocaleString("en-US");
  const dollars = (n) => "$" + (n < 1 ? n.toFixed(4) : n.toFixed(2));
  const bytes = (n) => {
    let unit = 0;
    for (; n >= 999.95 && unit < 5; unit++) n /= 1000;
    return (unit ? n.toFixed(1) : n) + " " + ["B", "kB", "MB", "GB", "TB", "PB"][unit];
  };
  const length = (s) => s < 0.1 ? (s * 1000).toFixed(0) + " ms" : s < 10 ? s.toFixed(1) + " s" : s < 60 ? s.toFixed(0) + " s"
    : s < 3600 ? Math.floor(s / 60) + " min " + Math.round(s % 60) + " s"
    : s < 86400 ? Math.floor(s / 3600) + " h " + Math.round(s % 3600 / 60) + " min"
    : Math.floor(s / 86400) + " d " + Math.round(s % 86400 / 3600) + " h";
  const moment = (ms) => new Date(ms).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");
  const element = (tag, text, name) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const table = (into, head, rows) => {
    into.replaceChildren();
    const line = (cells, tag) => {
      const row = element("tr");
      for (const cell of cells) row.append(element(tag, String(cell), typeof cell === "number" || /^[\d$,.]+( \w+)?$/.test(cell) ? "n" : ""));
      return row;
    };
    into.append(line(head, "th"));
    for (const row of rows) into.append(line(row.map((cell) => typeof cell === "number" ? number(cell) : cell ?? ""), "td"));
  };

  let data = JSON.parse($("data").textContent);
  let plots = [];
  let zoom = null;

  const summary = () => {
    const took = data.first && data.last ? (Date.parse(data.last) - Date.parse(data.first)) / 1000 : 0;
    const { seconds, dollars: cost, pools } = data.spent;
    // Agents that are no machines of EC2 cost nothing there.
    const free = cost == null && pools.length > 0 && pools.every((pool) => pool.instance_type == null);
    const a = data.attempts;
    const figures = [
      ["done", `${number(data.tasks.done)} of ${number(data.tasks.total)}`, "tasks done"],
      ["given-up", number(data.tasks.failed), "given up", data.tasks.failed > 0],
      ["took", data.first ? length(took) : "-", data.over ? "from first to last" : "so far"],
      ["agents", number(data.timeline.rows.length), "agents"],
      ["attempts", number(a.total), "attempts"],
      ["retries", number(a.retried), "errors tried again"],
      ["preempted", number(a.preempted), "attempts preempted"],
      ["takeovers", number(a.takeovers), "chunks taken over"],
      ["machine-time", seconds == null ? "-" : length(seconds), seconds == null ? "machine time, not known yet" : "machine time"],
      ["bytes", bytes(data.output_bytes), "outputs"],
      ...(data.usage ? [["memory", bytes(data.usage.peak_memory_bytes), "memory of the largest"],
        ["cpu", length(data.usage.cpu_ms / 1e3 / data.usage.attempts), "CPU an attempt"]] : []),
      ["cost", cost == null ? (free ? "-" : "unknown") : dollars(cost), free ? "cost: nothing on EC2" : "cost"],
    ];
    $("summary").replaceChildren(...figures.map(([id, value, what, bad]) => {
      const box = element("div", undefined, bad ? "figure bad" : "figure");
      box.id = "figure-" + id;
      box.append(element("b", value), element("span", what));
      return box;
    }));
  };

  const axis = (more) => Object.assign({ stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 }, font: "11px system-ui, sans-serif" }, more);
  // One width left of all that shares the time, so that what happened at once stands one below the other.
  const LEFT = 190;
  const two = (n) => String(n).padStart(2, "0");
  const times = (u, splits, axis, space, step) => splits.map((s, n) => {
    const at = new Date(s * 1e3);
    const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}` + (step < 60 ? ":" + two(at.getUTCSeconds()) : "");
    return n === 0 || at.getUTCHours() + at.getUTCMinutes() + at.getUTCSeconds() === 0 ? time + "\n" + at.toISOString().slice(0, 10) : time;
  });
  const clock = { tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), "UTC") };
  const synced = uPlot.sync("time");
  const setZoom = (u) => {
    const { min, max } = u.scales.x;
    if (min == null || (zoom && zoom[0] === min && zoom[1] === max)) return;
    zoom = [min, max];
    for (const other of plots) if (other !== u && other.timed) other.setScale("x", { min, max });
  };
  const width = (id) => Math.max(320, $(id).clientWidth - 2);
  const span = () => [data.timeline.origin_ms / 1e3, (data.timeline.origin_ms + data.timeline.span_ms) / 1e3];

  // Rows as high as they can be while all of a small fleet is seen at once; a browser's canvas has an end, too.
  const rowHeight = (rows) => rows <= 24 ? 24 : rows <= 60 ? 14 : rows <= 300 ? 8 : rows <= 2000 ? 4 : Math.max(1, 8000 / rows);

  const drawRows = (u) => {
    const { ctx, bbox } = u;
    const rows = data.timeline.rows;
    const colours = kinds.map(colour);
    const there = colour("there");
    const { min, max } = u.scales.x;
    const origin = data.timeline.origin_ms;
    const scale = bbox.width / (max - min) / 1e3;
    const x = (ms) => bbox.left + (ms + origin - min * 1e3) * scale;
    const high = bbox.height / rows.length;
    const dot = devicePixelRatio;
    let drawn = 0;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    rows.forEach((row, at) => {
      const top = bbox.top + at * high;
      const body = high > 4 * dot ? high - dot * 2 : high > 2 ? high - 1 : high;
      if (row.born_ms != null) {
        ctx.fillStyle = there;
        ctx.fillRect(x(row.born_ms), top, Math.max(dot, x(row.seen_ms) - x(row.born_ms)), body);
      }
      const lane = body / row.lanes;
      // What is rare is drawn over what is not.
      for (const rare of [false, true]) {
        for (const bar of row.bars) {
          if ((bar[3] !== 0) !== rare) continue;
          const left = x(bar[1]), wide = bar[2] * scale;
          if (left > bbox.left + bbox.width || left + wide < bbox.left) continue;
          ctx.fillStyle = colours[bar[3]];
          // A gap between bars where there is room for one.
          ctx.fillRect(left, top + bar[0] * lane, Math.max(rare ? 2 * dot : 0.5, wide > 4 * dot ? wide - dot : wide), lane > 3 * dot ? lane - dot / 2 : lane);
          drawn++;
        }
      }
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      for (const mark of row.marks) {
        const [sign, name] = marks[mark.what];
        const left = x(Date.parse(mark.at) - origin);
        ctx.fillStyle = colour(name);
        if (high >= 10 * dot) {
          ctx.font = `bold ${12 * dot}px system-ui, sans-serif`;
          ctx.strokeStyle = colour("paper");
          ctx.lineWidth = 3 * dot;
          ctx.strokeText(sign, left, top + body / 2);
          ctx.fillText(sign, left, top + body / 2);
        } else {
          ctx.fillRect(left - dot, top, 2 * dot, Math.max(body, 2));
        }
      }
    });
    ctx.restore();
    $("timeline").dataset.drawn = drawn;
  };

  const tell = (u, event) => {
    const tip = $("tip");
    const box = u.over.getBoundingClientRect();
    const rows = data.timeline.rows;
    const at = Math.floor((event.clientY - box.top) / box.height * rows.length);
    const row = rows[at];
    if (!row) return void (tip.hidden = true);
    const now = u.posToVal(event.clientX - box.left, "x") * 1e3 - data.timeline.origin_ms;
    const slack = 2 * (u.scales.x.max - u.scales.x.min) * 1e3 / box.width;
    const lane = Math.floor(((event.clientY - box.top) / box.height * rows.length - at) * row.lanes);
    const hit = row.bars.filter((bar) => bar[0] === lane && bar[1] <= now + slack && bar[1] + bar[2] >= now - slack).pop();
    const near = row.marks.filter((mark) => Math.abs(Date.parse(mark.at) - data.timeline.origin_ms - now) <= 3 * slack);
    const lines = [`${row.agent}  (${row.machine})`];
    if (hit) {
      const what = hit[5] ?? (hit[4] === 1 ? "1 task" : `${number(hit[4])} tasks`);
      lines.push(`${what}: ${kinds[hit[3]]}, ${length(hit[2] / 1e3)} from ${moment(data.timeline.origin_ms + hit[1])}`);
    }
    for (const mark of near) lines.push(`${marks[mark.what][2]} at ${moment(Date.parse(mark.at))}`);
    if (row.why) lines.push(row.why);
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + "px";
  };

  const timeline = () => {
    const box = $("timeline");
    const rows = data.timeline.rows;
    box.replaceChildren();
    box.dataset.rows = rows.length;
    $("legend").replaceChildren(...kinds.map((kind) => {
      const entry = element("span");
      const patch = element("i");
      patch.style.background = `var(--${kind})`;
      entry.append(patch, kind);
      return entry;
    }), ...Object.values(marks).map(([sign, name, what]) => {
      const entry = element("span");
      const text = element("b", sign);
      text.style.color = `var(--${name})`;
      entry.append(text, what);
      return entry;
    }));
    const merged = data.timeline.merged_ms;
    $("timeline-note").textContent = rows.length === 0 ? "no agent has reported yet"
      : "A row is an agent, by when it was born; pale is the time it was there. Drag to zoom, double click to see all."
        + (merged ? ` Of ${number(data.attempts.total)} attempts, those that follow each other within ${length(merged / 1e3)} are one bar.` : "");
    if (!rows.length) return;
    const each = rowHeight(rows.length);
    const named = each >= 11;
    const [from, to] = span();
    const plot = new uPlot({
      width: width("timeline"), height: Math.round(rows.length * each) + 44, tzDate: clock.tzDate, padding: [4, 12, 0, 0],
      cursor: { sync: { key: synced.key, scales: ["x", null] }, y: false, points: { show: false }, drag: { x: true, y: false } },
      scales: { x: { time: true, range: (u, min, max) => [min, max] }, y: { dir: -1, range: () => [0, rows.length] } },
      axes: [axis({ values: times, space: 70 }), axis({ grid: { show: false }, ticks: { show: false }, size: LEFT, splits: () => named ? rows.map((_, at) => at + 0.5) : [],
        filter: (u, splits) => splits,
        values: (u, splits) => splits.map((at) => { const name = rows[Math.floor(at)].agent; return name.length > 28 ? "…" + name.slice(-27) : name; }) })],
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      hooks: { draw: [drawRows], setScale: [(u, key) => { if (key === "x") setZoom(u); }] },
    }, [[from, to], [0, rows.length]], box);
    plot.timed = true;
    plots.push(plot);
    box.dataset.named = plot.axes[1]._values?.length ?? 0;
    plot.over.addEventListener("mousemove", (event) => tell(plot, event));
    plot.over.addEventListener("mouseleave", () => { $("tip").hidden = true; });
  };

  const bars = uPlot.paths.bars({ size: [1, Infinity], align: 1, gap: 1 });
  const throughput = () => {
    const box = $("throughput");
    box.replaceChildren();
    const { bin_seconds: bin, done } = data.throughput;
    const [from, to] = span();
    const per = bin < 60 ? [1, "a second"] : bin < 3600 ? [60, "a minute"] : [3600, "an hour"];
    const plot = new uPlot({
      width: width("throughput"), height: 180, tzDate: clock.tzDate, padding: [8, 12, 0, 0],
      cursor: { sync: { key: synced.key, scales: ["x", null] }, y: false, points: { show: false }, drag: { x: true, y: false } },
      scales: { x: { time: true, range: (u, min, max) => [min, max] }, y: { range: (u, min, max) => [0, max || 1] } },
      axes: [axis({ values: times, space: 70 }), axis({ size: LEFT - 18, label: "tasks " + per[1], labelSize: 18, labelFont: "11px system-ui, sans-serif" })],
      series: [{}, { label: "done", fill: colour("done"), stroke: colour("done"), width: 0, paths: bars, points: { show: false } }],
      hooks: { setScale: [(u, key) => { if (key === "x") setZoom(u); }] },
    }, [done.map((_, n) => from + n * bin), done.map((count) => count / bin * per[0])], box);
    plot.timed = true;
    plot.setScale("x", { min: from, max: to });
    plots.push(plot);
  };

  const usage = (one) => one.cpu_seconds == null ? ["", ""] : [length(one.cpu_seconds), bytes(one.peak_memory_bytes)];
  const used = () => {
    const u = data.usage;
    $("used-part").hidden = !u;
    if (!u) return;
    $("used-note").textContent = [`${bytes(u.peak_memory_bytes)} of memory at most, ${length(u.cpu_ms / 1e3)} of CPU in ${length(u.wall_ms / 1e3)} by ${number(u.attempts)} attempts; those that had most in memory`, ...u.advice].join("; ");
    table($("hungriest"), ["task", "memory", "CPU", "took", "end", "on"],
      data.hungriest.map((one) => [one.name, bytes(one.peak_memory_bytes), length(one.cpu_seconds), length(one.seconds), one.end, one.agent]));
  };

  const durations = () => {
    const box = $("durations");
    const d = data.durations;
    box.replaceChildren();
    $("durations-note").textContent = d.counts.length === 0 ? "no task is done yet"
      : `median ${length(d.median)}, nine of ten within ${length(d.p90)}, 99 of 100 within ${length(d.p99)}, the longest ${length(d.longest)}`;
    const measured = data.slowest.some((slow) => slow.cpu_seconds != null);
    table($("slowest"), measured ? ["task", "took", "CPU", "memory", "on", "from"] : ["task", "took", "on", "from"],
      data.slowest.map((slow) => [slow.name, length(slow.seconds), ...(measured ? usage(slow) : []), slow.agent, moment(Date.parse(slow.from))]));
    if (!d.counts.length) return;
    const bins = d.counts.length;
    plots.push(new uPlot({
      width: width("durations"), height: 180, padding: [8, 24, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: () => [0, bins] }, y: { range: (u, min, max) => [0, max || 1] } },
      axes: [axis({ splits: () => Array.from({ length: 9 }, (_, n) => n * bins / 8), values: (u, splits) => splits.map((at) => length(d.edges[Math.round(at)])) }),
        axis({ size: LEFT - 18, label: "tasks", labelSize: 18, labelFont: "11px system-ui, sans-serif", incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5] })],
      series: [{}, { label: "tasks", fill: colour("done"), stroke: colour("done"), width: 0, paths: bars, points: { show: false } }],
    }, [d.counts.map((_, n) => n), d.counts], box));
  };

  const failures = () => {
    const box = $("failures");
    box.replaceChildren();
    if (!data.tasks.failed) return void box.append(element("p", "nothing was", "note"));
    for (const failure of data.failures) {
      const entry = element("details");
      const head = element("summary");
      head.append(element("b", failure.name), ` after ${failure.attempts} attempts: `, element("em", failure.error.split("\n")[0]));
      entry.append(head, element("p", `on ${failure.agent ?? "nobody knows"}, ${moment(Date.parse(failure.at))}; log: ${failure.log ?? "none"}`, "note"));
      entry.append(element("pre", failure.tail ?? failure.error));
      box.append(entry);
    }
    const more = data.tasks.failed - data.failures.length;
    if (more > 0) box.append(element("p", `… and ${number(more)} more (failed.txt)`, "note"));
  };

  const tables = () => {
    const { pools, dollars: sum, requests_dollars: asked, notes } = data.spent;
    const cost = (value) => value == null ? "unknown" : dollars(value);
    const rows = pools.map((pool) => [pool.instance_type ?? "not on EC2", pool.market ?? "", number(pool.machines), pool.seconds == null ? "unknown" : length(pool.seconds), pool.instance_type ? cost(pool.dollars) : ""]);
    if (asked != null) rows.push(["requests", "", "", "", dollars(asked)]);
    if (sum != null) rows.push(["in all", "", "", "", dollars(sum)]);
    table($("spent"), ["instance", "market", "machines", "time together", "cost"], rows);
    $("spent-note").textContent = notes.join("; ");
    const r = data.requests;
    table($("requests"), ["kind", "requests"], ["get", "head", "list", "put", "multipart", "parts", "delete", "rejected", "unknown", "failed"].map((kind) => [kind, r[kind]])
      .concat([["bytes in", bytes(r.bytes_in)], ["bytes out", bytes(r.bytes_out)]]));
    const agents = data.timeline.rows;
    const shown = 200;
    table($("agents"), ["agent", "where", "slots", "done", "given up", "busy", "ended"], agents.slice(0, shown).map((row) => [row.agent, row.machine, row.slots, row.done, row.failed,
      row.busy_percent == null ? "" : row.busy_percent.toFixed(0) + " %", row.why ?? (row.ended ? "yes" : "no word of it")])
      .concat(agents.length > shown ? [[`… and ${number(agents.length - shown)} more`]] : []));
  };

  const draw = () => {
    for (const plot of plots) plot.destroy();
    plots = [];
    zoom = null;
    $("job").textContent = data.job;
    if (data.console) {
      $("console").href = data.console;
      $("console").hidden = false;
    }
    $("state").textContent = `${data.state}; as of ${moment(Date.parse(data.at))}`;
    $("foot").textContent = `written by dayfly ${data.version} from the bucket alone; times are those of the agents' clocks, in UTC`;
    summary();
    timeline();
    throughput();
    durations();
    used();
    failures();
    tables();
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = (name) => {
    root.dataset.theme = name;
    draw();
  };
  $("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  theme(dark.matches ? "dark" : "light");
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 200); });

  const live = root.dataset.live;
  if (live) {
    const look = async () => {
      try {
        const answer = await fetch(live, { cache: "no-store" });
        if (answer.ok) {
          const place = scrollY;
          data = await answer.json();
          draw();
          scrollTo(0, place);
        }
      } catch {
        $("state").textContent = `${data.state}; dayfly watch --web has ended, this is as of ${moment(Date.parse(data.at))}`;
      }
      if (!data.over) setTimeout(look, 3000);
    };
    setTimeout(look, 3000);
  }
  // What is drawn is on the screen two frames later.
  requestAnimationFrame(() => requestAnimationFrame(() => {
    root.dataset.ready = Math.round(performance.now());
    root.dataset.drawing = Math.round(performance.now() - began);
  }));
})();
