// Without this script the page shows everything; with it, tables sort, marks speak, and one lowering can be picked out.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (name, properties = {}, ...content) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...content);
    return made;
  };

  // Tables: a click on a heading sorts by its column, another one turns the order round.
  function sort(table, column, header) {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    all("th[aria-sort]", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const sign = ascending ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[column];
      if (!header.classList.contains("number")) return cell.textContent.trim();
      return "v" in cell.dataset ? Number(cell.dataset.v) : null;
    };
    const body = table.tBodies[0];
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    const rows = [...body.rows].map((row) => [key(row), row]);
    // What is not known comes last, in either order.
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  }

  all("table.sortable").forEach((table) => {
    all("thead th", table).forEach((header, column) => {
      const button = make("button", { type: "button" }, header.textContent);
      button.addEventListener("click", () => sort(table, column, header));
      header.replaceChildren(button);
    });
  });

  // Marks: what they stand for, beside the pointer or the focus; arrow keys go from one to the next.
  const tip = make("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  function show(mark) {
    tip.textContent = mark.dataset.t;
    tip.hidden = false;
    const at = mark.getBoundingClientRect();
    const left = Math.min(at.left + Math.min(at.width, 160) / 2 + 8, innerWidth - tip.offsetWidth - 8);
    const above = at.top - tip.offsetHeight - 8;
    tip.style.left = Math.max(left, 8) + "px";
    tip.style.top = (above > 4 ? above : at.bottom + 8) + "px";
  }
  all(".marks").forEach((group) => {
    const marks = all("[data-t]", group);
    marks.forEach((mark, i) => {
      mark.setAttribute("tabindex", i === 0 ? "0" : "-1");
      mark.setAttribute("role", "img");
      mark.setAttribute("aria-label", mark.dataset.t);
      mark.addEventListener("pointerenter", () => show(mark));
      mark.addEventListener("pointerleave", hide);
      mark.addEventListener("focus", () => show(mark));
      mark.addEventListener("blur", hide);
      mark.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        const next = step && marks[i + step];
        if (event.key === "Escape") hide();
        if (!next) return;
        event.preventDefault();
        mark.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      });
    });
  });
  addEventListener("scroll", hide, { passive: true });

  // The legend: a button for each lowering picks it out everywhere, pressed again lets it go.
  const main = document.querySelector("main");
  const buttons = [];
  function pick(chosen) {
    main.classList.toggle("picking", chosen !== null);
    all("[data-s]", main).forEach((each) => each.classList.toggle("picked", each.dataset.s === chosen));
    buttons.forEach(([button, index]) => button.setAttribute("aria-pressed", String(index === chosen)));
  }
  all(".legend li").forEach((item) => {
    const button = make("button", { type: "button" }, ...item.childNodes);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      pick(button.getAttribute("aria-pressed") === "true" ? null : item.dataset.s);
    });
    buttons.push([button, item.dataset.s]);
    item.append(button);
  });

  function choose(name, options, action) {
    const select = make("select", {}, ...options.map((text, i) => make("option", { value: String(i) }, text)));
    select.addEventListener("change", () => action(Number(select.value)));
    return make("label", {}, name + " ", select);
  }
  function controls(before, ...content) {
    before.before(make("div", { className: "controls" }, ...content));
  }

  // The graphs of one layer at a time.
  const layers = all("#graphs .layer");
  if (layers.length > 1) {
    const only = (chosen) => layers.forEach((layer, i) => { layer.hidden = i !== chosen; });
    const headings = layers.map((layer) => layer.querySelector("h3").textContent);
    controls(layers[0], choose("layer", headings, only));
    only(0);
  }

  // The long table: convolutions and the whole net unless more is asked for.
  const others = all(".details tr.other");
  if (others.length) {
    const which = ["convolutions and the whole net", "all layers", "the whole net"];
    const rows = all(".details tbody tr");
    const filter = (chosen) => rows.forEach((row) => {
      const total = row.classList.contains("total");
      row.hidden = chosen === 0 ? row.classList.contains("other") : chosen === 2 && !total;
    });
    controls(document.querySelector(".table:has(.details)"), choose("show", which, filter));
    filter(0);
  }
})();
