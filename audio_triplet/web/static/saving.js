// Saves what was entered in a page as a table: saving.table(columns, rows, "name.csv").
"use strict";
const saving = {
  table(columns, rows, name) {
    const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
    const lines = [columns.join(","), ...rows.map((row) => row.map(quoted).join(","))];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  },
};
