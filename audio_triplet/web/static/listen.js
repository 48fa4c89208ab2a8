// Collects what was answered into answers.csv, a table like listen.csv.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("rows").textContent);
  const saved = document.getElementById("saved");
  const column = data.columns.indexOf("answer");
  const answered = () => [...document.querySelectorAll("input[data-row]:checked")];
  document.addEventListener("change", (event) => {
    const item = event.target.closest(".to-answer li");
    if (!item) return;
    item.classList.add("answered");
    saved.textContent = `${answered().length} of ${data.rows.length} are answered, not saved yet.`;
  });
  const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
  document.getElementById("save")?.addEventListener("click", () => {
    const lines = [data.columns.join(",")];
    for (const input of answered()) {
      const row = data.rows[Number(input.dataset.row)].slice();
      row[column] = input.value;
      lines.push(row.map(quoted).join(","));
    }
    if (lines.length === 1) {
      saved.textContent = "Nothing is answered yet.";
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
    link.download = "answers.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    saved.textContent = `Saved ${lines.length - 1} answers.`;
  });
})();
