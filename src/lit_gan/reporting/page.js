// Shows the forms and sliders of a report, which do nothing without it, and lets them hide parts of the page.
for (const form of document.querySelectorAll("form")) {
  const boxes = [...form.querySelectorAll("input")];
  const show = () => boxes.forEach(box => form.parentNode.classList.toggle("no-" + box.value, !box.checked));
  for (const button of form.querySelectorAll("button"))
    button.onclick = () => {
      button.parentNode.querySelectorAll("input").forEach(box => box.checked = button.value == "all");
      show();
    };
  form.onchange = show;
  form.hidden = false;
  show();
}
for (const film of document.querySelectorAll(".film")) {
  const tool = film.querySelector(".tool"), slider = tool.querySelector("input"), said = tool.querySelector("output");
  const updates = [...film.querySelector(".frames").children].map(frame => frame.dataset.update);
  const show = () => {
    const chosen = updates[slider.value - 1];
    film.classList.toggle("one", chosen !== undefined);
    film.querySelectorAll("figure").forEach(each => each.hidden = chosen && each.dataset.update != chosen);
    said.value = chosen ? "update " + chosen : "all of them";
  };
  slider.oninput = show;
  tool.hidden = false;
  show();
}
