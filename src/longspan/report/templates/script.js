"use strict";
for (const box of document.querySelectorAll(".copy")) {
  const text = box.querySelector("pre"), button = document.createElement("button");
  button.textContent = "Copy";
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
  box.append(button);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const key = (row, column) => {
    const cell = row.cells[column], value = cell?.dataset.value;
    return value === undefined || value === "" ? [cell && cell.colSpan === 1 && value === undefined ? 0 : 2, cell?.textContent.trim() ?? ""]
      : [1, Number(value)];
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map(row => [key(row, column), row]);
      rows.sort(([a], [b]) => a[0] - b[0] || sign * (typeof a[1] === "number" && typeof b[1] === "number"
        ? a[1] - b[1] : String(a[1]).localeCompare(String(b[1]))));
      body.append(...rows.map(([, row]) => row));
    };
  });
}
