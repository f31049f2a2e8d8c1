// Without this script the page shows all stages; with it, a stage beside the one before.
(() => {
  const main = document.querySelector("main");
  const sections = [...main.querySelectorAll("section")];
  const links = [...document.querySelectorAll("nav a")];
  const stems = sections.map((section) => section.id);
  let current = 0;
  let all = false;
  // An address with a stage in it picks the stage; it should not scroll the controls away.
  sections.forEach((section) => { section.id = "stage-" + section.id; });

  function show(index) {
    current = Math.max(0, Math.min(sections.length - 1, index));
    // The first stage has none before it; it stands beside the second.
    const shown = Math.max(1, current);
    sections.forEach((section, i) => {
      section.hidden = !all && i !== shown && i !== shown - 1;
      section.classList.toggle("before", !all && i === shown - 1);
    });
    main.classList.toggle("pair", !all);
    links.forEach((link, i) => {
      if (!all && i === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    back.disabled = all || current <= 1;
    next.disabled = all || current === sections.length - 1;
  }

  function go(index) {
    show(index);
    history.replaceState(null, "", "#" + stems[current]);
  }

  function button(text, action) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", action);
    controls.append(made);
    return made;
  }

  function choice(text, value) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = "view";
    input.checked = value === "";
    input.addEventListener("change", () => {
      main.classList.remove("text", "picture");
      if (value) main.classList.add(value);
    });
    label.append(input, " " + text);
    controls.append(label);
  }

  const controls = document.createElement("div");
  controls.className = "controls";
  document.querySelector("header").append(controls);
  const back = button("← back", () => go(Math.max(1, current - 1)));
  const next = button("next →", () => go(Math.max(1, current) + 1));
  const every = button("all stages", () => {
    all = !all;
    every.textContent = all ? "two stages" : "all stages";
    show(current);
  });
  if (main.querySelector("figure")) {
    choice("text and picture", "");
    choice("text", "text");
    choice("picture", "picture");
  }

  const named = () => stems.findIndex((stem) => "#" + stem === location.hash);
  links.forEach((link, i) => link.addEventListener("click", (event) => {
    event.preventDefault();
    if (all) sections[i].scrollIntoView();
    else go(i);
  }));
  addEventListener("hashchange", () => { if (!all && named() >= 0) show(named()); });
  addEventListener("keydown", (event) => {
    if (all || event.altKey || event.ctrlKey || event.metaKey || event.target.tagName === "INPUT") return;
    if (event.key === "ArrowLeft" && !back.disabled) back.click();
    if (event.key === "ArrowRight" && !next.disabled) next.click();
  });
  main.addEventListener("click", (event) => {
    if (event.target.tagName === "IMG") event.target.parentElement.classList.toggle("whole");
  });
  // A pass that changed something says more than the first one.
  const telling = sections.findIndex((section, i) => i > 0 && section.querySelector(".added"));
  show(named() >= 0 ? named() : Math.max(1, telling));
})();
