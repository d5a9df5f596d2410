"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const dark = () => window.matchMedia("(prefers-color-scheme: dark)").matches;

for (const [name, spec] of Object.entries(read("specs"))) {
  const options = { actions: false, renderer: "svg", tooltip: { theme: dark() ? "dark" : "light" } };
  vegaEmbed(`#${name}`, spec, options).catch((error) => {
    document.getElementById(name).textContent = `This chart cannot be drawn: ${error.message}`;
  });
}

document.getElementById("copy").addEventListener("click", async () => {
  const text = JSON.stringify(read("data"), null, 2);
  const say = (words) => { document.getElementById("copied").textContent = words; };
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    // Without leave to use the clipboard, as in some browsers for local files: the older way.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    say(document.execCommand("copy") ? "Copied." : "Your browser does not let pages copy.");
    field.remove();
  }
});
