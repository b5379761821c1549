// The Portal's home page: who is signed in, and a map of the street trees that
// this person may see. It needs nothing but a browser.
"use strict";

const treeIcon = "{{hex}}"; // for pages that have space for one

// here gives an address the page's own scheme where it is on the page's own host:
// one port may answer both.
function here(address) {
  const u = new URL(address, location.href);
  if (u.host === location.host) u.protocol = location.protocol;
  return u.href;
}

// A sign-in of this page's own comes back with a token in the fragment.
const token = new URLSearchParams(location.hash.slice(1)).get("access_token");

// ask asks an ArcGIS address and returns what it says; errors come under HTTP 200.
async function ask(address, parameters) {
  const u = new URL(here(address));
  for (const [name, value] of Object.entries({ ...parameters, f: "json", ...(token && { token }) })) u.searchParams.set(name, value);
  const answer = await (await fetch(u)).json();
  if (answer.error) throw new Error(answer.error.message);
  return answer;
}

// layer is the address of the trees: the item's, for those who may see it.
async function layer() {
  const found = await ask(esriGeowConfig.restBaseUrl + "search", { q: 'title:"Street trees" type:"Feature Service"', num: 1 });
  return found.results.length ? found.results[0].url + "/0" : esriGeowConfig.publicLayer;
}

// trees are all features, page by page.
async function trees(address) {
  const all = [];
  for (let more = true; more;) {
    const page = await ask(address + "/query", { where: "1=1", outFields: "CommonName,HeightM,Condition", resultOffset: all.length });
    all.push(...page.features);
    more = page.exceededTransferLimit && page.features.length > 0;
  }
  return all;
}

const map = document.getElementById("map");
const svg = (name, attributes, parent) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return parent.appendChild(e);
};

// draw puts features on the map: a circle for each, as wide as the tree is high,
// coloured by its condition. One unit is a hundred-thousandth of a degree north.
function draw(features) {
  const narrow = Math.cos(features[0].geometry.y * Math.PI / 180);
  const points = features.map(({ geometry: g, attributes: a }) => ({ x: g.x * 1e5 * narrow, y: -g.y * 1e5, a }));
  const xs = points.map((p) => p.x), ys = points.map((p) => p.y);
  const left = Math.min(...xs), top = Math.min(...ys);
  const box = { x: -60, y: -60, w: Math.max(...xs) - left + 120, h: Math.max(...ys) - top + 120 };
  const group = svg("g", {}, map);
  for (const p of points) {
    const c = svg("circle", { cx: (p.x - left).toFixed(1), cy: (p.y - top).toFixed(1), r: (9 + p.a.HeightM / 1.5).toFixed(1), class: p.a.Condition }, group);
    svg("title", {}, c).textContent = `${p.a.CommonName}, ${p.a.HeightM} m, ${p.a.Condition.toLowerCase()}`;
  }
  move(box);
}

// move shows a part of the map.
function move(box) {
  const show = () => map.setAttribute("viewBox", [box.x, box.y, box.w, box.h].join(" "));
  const zoom = (by) => {
    box.x += box.w * (1 - by) / 2; box.y += box.h * (1 - by) / 2; box.w *= by; box.h *= by;
    show();
  };
  const pan = (dx, dy) => { box.x += dx; box.y += dy; show(); };
  document.getElementById("in").onclick = () => zoom(0.7);
  document.getElementById("out").onclick = () => zoom(1 / 0.7);
  map.onkeydown = (e) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    if (step) pan(step[0] * box.w / 10, step[1] * box.h / 10);
    else if (e.key === "+") zoom(0.7);
    else if (e.key === "-") zoom(1 / 0.7);
    else return;
    e.preventDefault();
  };
  map.onwheel = (e) => { zoom(e.deltaY > 0 ? 1.1 : 1 / 1.1); e.preventDefault(); };
  map.onpointerdown = (e) => map.setPointerCapture(e.pointerId);
  map.onpointermove = (e) => {
    if (!map.hasPointerCapture(e.pointerId)) return;
    const scale = Math.max(box.w / map.clientWidth, box.h / map.clientHeight);
    pan(-e.movementX * scale, -e.movementY * scale);
  };
  show();
}

// sum says how many trees there are of each condition.
function sum(features) {
  for (const condition of ["Good", "Fair", "Poor", "Dead"]) {
    const line = document.getElementById("legend").appendChild(document.createElement("li"));
    line.innerHTML = `<span class="key ${condition}"></span>`;
    line.append(`${condition} ${features.filter((f) => f.attributes.Condition === condition).length}`);
  }
}

async function start() {
  const self = await ask(esriGeowConfig.restBaseUrl + "portals/self");
  const who = document.getElementById("who");
  if (self.user) {
    who.textContent = "Signed in as ";
    who.appendChild(document.createElement("strong")).textContent = self.user.fullName;
  } else {
    who.textContent = "Not signed in";
    document.getElementById("signin").hidden = false;
  }
  document.getElementById("maps").hidden = !esriGeowConfig.maps;
  const features = await trees(await layer());
  draw(features);
  sum(features);
  document.getElementById("caption").textContent = `${features.length} trees; the larger the circle, the higher the tree`;
  document.title = `${features.length} trees · ${self.user ? self.user.fullName : "nobody"}`;
  document.documentElement.dataset.user = self.user ? self.user.username : "";
  document.documentElement.dataset.drawn = features.length;
}

start().catch((e) => {
  document.getElementById("caption").textContent = "The trees cannot be shown: " + e.message;
  document.documentElement.dataset.failed = e.message;
});
