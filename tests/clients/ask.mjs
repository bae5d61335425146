// Node's own fetch, as it is out of the box.
const [, , url, body] = process.argv;
for (let time = 0; time < 2; time += 1) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  console.log((await response.text()).trim());
  console.log(response.status);
}
