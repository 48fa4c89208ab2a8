// Collects what was named into labels.csv, a manifest.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("rows").textContent);
  const saved = document.getElementById("saved");
  const inputs = [...document.querySelectorAll("input[data-row]")];
  const labels = data.columns.indexOf("labels");
  function named() {
    return inputs.filter((input) => input.value.trim());
  }
  document.addEventListener("input", (event) => {
    const item = event.target.closest(".to-label li");
    if (!item) return;
    item.classList.toggle("named", Boolean(event.target.value.trim()));
    saved.textContent = `${named().length} of ${inputs.length} are named, not saved yet.`;
  });
  const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
  document.getElementById("save").addEventListener("click", () => {
    const lines = [data.columns.join(",")];
    for (const input of named()) {
      const row = data.rows[Number(input.dataset.row)].slice();
      row[labels] = input.value.split(";").map((part) => part.trim()).filter(Boolean).join(";");
      lines.push(row.map(quoted).join(","));
    }
    if (lines.length === 1) {
      saved.textContent = "Nothing is named yet.";
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
    link.download = "labels.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    saved.textContent = `Saved ${lines.length - 1} labels.`;
  });
})();
