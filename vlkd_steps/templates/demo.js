"use strict";
const at = (id) => document.getElementById(id);
const [upload, item, image] = ["upload", "item", "image"].map(at);

function show(address) {
  image.src = address;
  image.hidden = false;
}

function forget() { // answers to the previous query
  for (const list of document.querySelectorAll("ol")) list.replaceChildren();
  at("error").textContent = at("gold").textContent = "";
}

upload.addEventListener("change", () => {
  forget();
  if (item) item.value = "";
  if (upload.files.length) show(URL.createObjectURL(upload.files[0]));
});

if (item) item.addEventListener("change", () => {
  forget();
  upload.value = "";
  image.hidden = item.value === "";
  if (item.value === "") return;
  const chosen = item.selectedOptions[0].dataset;
  show("/image/" + item.value);
  at("question").value = chosen.text;
  if (at("choices")) [at("choices").value, at("answer").value] = [chosen.choices, chosen.answer];
});

function inBase64(file) { // a larger one is not sent: the server closes the connection, and its answer is lost
  if (file.size > Number(upload.dataset.largest)) throw new Error(upload.dataset.tooLarge);
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1] || "");
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}

function line(answer) {
  const row = document.createElement("li");
  const [text, number, meter] = ["span", "span", "meter"].map((name) => document.createElement(name));
  text.textContent = answer.text;
  number.textContent = (100 * answer.probability).toFixed(1) + " %";
  number.className = "number";
  meter.value = answer.probability;
  meter.setAttribute("aria-hidden", "true");
  row.append(text, number, meter);
  return row;
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  forget();
  const query = {question: at("question").value};
  if (at("choices")) {
    query.choices = at("choices").value.split("\n").filter((choice) => choice.trim());
    query.answer = at("answer").value;
  }
  try {
    if (upload.files.length) query.image = await inBase64(upload.files[0]);
    else if (item && item.value !== "") query.item = Number(item.value);
    const reply = await fetch("/ask", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(query),
    });
    const found = await reply.json();
    if (found.error) throw new Error(found.error);
    const lists = document.querySelectorAll("ol");
    found.answers.forEach((answers, number) => lists[number].replaceChildren(...answers.map(line)));
    const gold = item && item.value !== "" && item.selectedOptions[0].dataset.gold;
    if (gold) at("gold").textContent = "In the data: " + gold;
  } catch (error) {
    at("error").textContent = error.message;
  }
});
