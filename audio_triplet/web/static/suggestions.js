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
  document.getElementById("save").addEventListener("click", () => {
    const rows = named().map((input) => {
      const row = data.rows[Number(input.dataset.row)].slice();
      row[labels] = input.value.split(";").map((part) => part.trim()).filter(Boolean).join(";");
      return row;
    });
    if (!rows.length) {
      saved.textContent = "Nothing is named yet.";
      return;
    }
    saving.table(data.columns, rows, "labels.csv");
    saved.textContent = `Saved ${rows.length} labels.`;
  });
})();
