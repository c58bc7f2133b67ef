// The page's own script: asks for news with what it has, says when the server is lost, and tells times as "3 min ago".
(() => {
  "use strict";
  const POLL = "main[hx-get]";
  const lost = () => document.getElementById("lost");

  function isPoll(element) {
    return element.matches && element.matches(POLL);
  }

  // What was asked for of a row stays there while the row does.
  function isFilled(old, fresh) {
    if (!old.matches || !old.matches(".why") || !old.childElementCount) return false;
    return old.id === fresh.id;
  }

  // What was typed into the form of a hunt stays until it is sent.
  function isForm(old, fresh) {
    return old.id === "order" && fresh.id === "order";
  }

  // What a reader has opened or moved stays so when there is news.
  function isKept(name, node) {
    if (name === "open") return node.tagName === "DETAILS";
    if (name === "hidden") return node.matches("[data-step], .threshold label, .threshold input");
    if (node.closest(".export .choices")) return name === "checked" || name === "selected" || name === "value";
    return node.matches("input[type=range]") && (name === "value" || name === "aria-valuetext");
  }

  if (window.Idiomorph) {
    window.Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) => !isFilled(old, fresh) && !isForm(old, fresh);
    window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !isKept(name, node);
  }

  // What the server says of what it lacks, such as Redis, where it says anything.
  function tellLoss(reply) {
    const said = new DOMParser().parseFromString(reply || "", "text/html").body.textContent.trim().slice(0, 300);
    lost().textContent = `${said || "The server does not answer"}. ${lost().dataset.rest}`;
    lost().hidden = false;
  }

  function tellTimes() {
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const moment = new Date(time.dateTime);
      const seconds = Math.max(0, (Date.now() - moment) / 1000);
      const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
      const [unit, size] = units.find(([, size]) => seconds >= size) || ["second", 1];
      const text = new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.floor(seconds / size), unit);
      if (time.textContent !== text) time.textContent = text;
      time.title = moment.toLocaleString();
    }
  }

  document.addEventListener("htmx:configRequest", (event) => {
    event.detail.headers["X-CSRF-Token"] = document.body.dataset.csrf || "";
    if (isPoll(event.detail.elt) && event.detail.elt.dataset.news) {
      event.detail.headers["If-None-Match"] = event.detail.elt.dataset.news;
    }
  });

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isPoll(event.detail.elt) && document.hidden) event.preventDefault();
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    const { elt, xhr } = event.detail;
    if (!isPoll(elt)) return;
    if (xhr.status === 0 || xhr.status >= 500) tellLoss(xhr.responseText);
    else lost().hidden = true;
    if (xhr.status === 200) elt.dataset.news = xhr.getResponseHeader("ETag") || "";
  });

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, elt } = event.detail;
    if (xhr.status < 400) return;
    // What a poll is refused with is no news: the banner says it.
    if (isPoll(elt) || isPoll(event.detail.target)) event.detail.shouldSwap = false;
  });

  document.addEventListener("htmx:afterSwap", tellTimes);
  document.addEventListener("htmx:sendError", (event) => { if (isPoll(event.detail.elt)) tellLoss(""); });

  // A slider: each of its steps is in the page, in words; the one that it stands at is shown.
  function showStep(slider) {
    const group = slider.closest(".threshold");
    for (const hidden of group.querySelectorAll("label, input")) hidden.hidden = false;
    for (const step of group.querySelectorAll("[data-step]")) {
      step.hidden = step.dataset.step !== slider.value;
      if (step.hidden) continue;
      slider.setAttribute("aria-valuetext", step.dataset.name);
      group.querySelector("output").textContent = step.dataset.name;
    }
  }

  function showSteps() {
    for (const slider of document.querySelectorAll(".threshold input[type=range]")) showStep(slider);
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches(".threshold input[type=range]")) showStep(event.target);
  });
  document.addEventListener("htmx:afterSwap", showSteps);
  showSteps();

  for (const form of document.querySelectorAll("form[data-submit]")) form.requestSubmit();
  tellTimes();
  setInterval(tellTimes, 10000);
})();
