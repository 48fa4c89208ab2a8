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
  document.getElementById("save")?.addEventListener("click", () => {
    const rows = answered().map((input) => {
      const row = data.rows[Number(input.dataset.row)].slice();
      row[column] = input.value;
      return row;
    });
    if (!rows.length) {
      saved.textContent = "Nothing is answered yet.";
      return;
    }
    saving.table(data.columns, rows, "answers.csv");
    saved.textContent = `Saved ${rows.length} answers.`;
  });
})();
