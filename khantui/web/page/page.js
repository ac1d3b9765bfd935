"use strict";
// the keys belong to the terminal as soon as there is one
const seen = new MutationObserver(() => {
  const keys = document.querySelector(".xterm-helper-textarea");
  if (keys && document.body.classList.contains("-first-byte")) { keys.focus(); seen.disconnect(); }
});
seen.observe(document.body, { attributes: true, childList: true, subtree: true });
document.getElementById("again").addEventListener("click", () => window.location.reload());
