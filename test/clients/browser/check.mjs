// Maps in Debian's Chromium through the proxy: the Portal's home page, one drawn by
// esri-leaflet, one by Esri's Maps SDK. The person in front of it is known by
// address; the browser trusts the proxy's root and nothing else of ours.
//
//   node check.mjs DIR
//
// Prints a line for each check that holds or fails; exits 1 if one failed. The
// screenshots, the browser's profile and its log of the network are left in DIR.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { PNG } from 'pngjs';
import puppeteer from 'puppeteer-core';
import { check, end, foreign, options, trust } from './chromium.mjs';

const { PROXY_PORT, PROXY_ROOT, CAROL_USERNAME: carol, CAROL_FULLNAME: fullName } = process.env;
const dir = process.argv[2];
const host = `localhost:${PROXY_PORT}`;
const TREES = 3200;
const WAIT = 60_000; // milliseconds that a page has to draw its map
const NEAR = 24; // how far a pixel's red, green or blue may be off: antialiasing
const PAPER = '#efede4'; // the map's background, which shines through some symbols
const COLOURS = {
  home: { opacity: 0.8, Good: '#1f8a4c', Fair: '#c98a00', Poor: '#c4432b', Dead: '#6b7280' },
  leaflet: { opacity: 0.9, Good: '#1f8a4c', Fair: '#e0a100', Poor: '#d1432b', Dead: '#555b66' },
  core: { opacity: 1, Good: '#1f8a4c', Fair: '#e0a100', Poor: '#d1432b', Dead: '#555b66' },
};
const PAGES = { home: '', leaflet: 'leaflet.html', core: 'core.html' };

// open shows a page and waits until it says that its map is drawn. blocked are
// requests that shall fail.
async function open(browser, name, blocked) {
  const page = await browser.newPage();
  const trouble = [];
  page.on('console', (m) => { if (m.type() === 'error' && !m.text().startsWith('Failed to load resource')) trouble.push(m.text()); });
  page.on('pageerror', (e) => trouble.push(e.message));
  page.on('response', (r) => { if (r.status() >= 400 && r.url() !== `https://${host}/favicon.ico`) trouble.push(`${r.url()}: ${r.status()}`); });
  page.on('requestfailed', (r) => trouble.push(`${r.url()}: ${r.failure()?.errorText}`));
  // The pages' policy names the hosts that they may talk to. The Maps SDK tries
  // whether it may eval, too.
  await page.exposeFunction('violation', (text) => trouble.push(text));
  await page.evaluateOnNewDocument(() => addEventListener('securitypolicyviolation', (e) => {
    if (e.blockedURI !== 'eval') violation(`${e.violatedDirective} forbids ${e.blockedURI} in ${e.sourceFile}:${e.lineNumber} ${e.sample}`);
  }));
  await page.setViewport({ width: 1200, height: 900 });
  if (blocked) {
    await page.setRequestInterception(true);
    page.on('request', (r) => (blocked.test(r.url()) ? r.abort() : r.continue()));
  }
  const answer = await page.goto(`https://${host}/portal/home/${PAGES[name]}`, { waitUntil: 'domcontentloaded', timeout: WAIT });
  assert.equal(answer.status(), 200);
  const state = () => page.evaluate(() => ({ ...document.documentElement.dataset, who: document.getElementById('who').textContent, title: document.title }));
  try {
    await page.waitForFunction(() => document.documentElement.dataset.drawn || document.documentElement.dataset.failed, { timeout: WAIT, polling: 100 });
  } catch {
    throw new Error(`nothing was drawn: ${JSON.stringify(await state())} ${trouble.slice(0, 8).join(' | ')}`);
  }
  return { page, trouble, state: await state(), shot: await picture(page, name + (blocked ? '-blocked' : '')) };
}

// picture takes a screenshot of the map, after the browser has painted what the page drew.
async function picture(page, name) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const file = `${dir}/${name}.png`;
  const map = await page.$('#map, #view');
  const shot = await map.screenshot();
  writeFileSync(file, shot);
  return PNG.sync.read(Buffer.from(shot));
}

// counts says how many pixels have about the colour of each kind of symbol.
function counts({ data }, name) {
  const { opacity, ...symbols } = COLOURS[name];
  const parts = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const paper = parts(PAPER);
  const count = (colour) => {
    const want = parts(colour).map((v, i) => opacity * v + (1 - opacity) * paper[i]);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (want.every((v, j) => Math.abs(data[i + j] - v) <= NEAR)) n++;
    }
    return n;
  };
  return Object.fromEntries(Object.entries(symbols).map(([condition, colour]) => [condition, count(colour)]));
}

// drawn checks one page: who is signed in, that it has all trees, and that the
// screenshot has the symbols' colours, as it has not if the trees do not arrive.
async function drawn(browser, name) {
  const { page, state, shot, trouble } = await open(browser, name);
  const seen = counts(shot, name);
  await page.close();
  assert.equal(state.failed, undefined, `${state.failed} ${trouble.slice(0, 8).join(' | ')}`);
  assert.equal(state.user, carol);
  assert.equal(state.who, `Signed in as ${fullName}`);
  assert.equal(Number(state.drawn), TREES);
  assert.deepEqual(trouble, []);
  const without = await open(browser, name, /\/FeatureServer\/0\/query/);
  const empty = counts(without.shot, name);
  await without.page.close();
  for (const [condition, n] of Object.entries(seen)) {
    assert(n > 20 * empty[condition] + 500, `${condition}: ${n} pixels, ${empty[condition]} without trees`);
  }
  return JSON.stringify(seen);
}

trust(PROXY_ROOT);
const browser = await puppeteer.launch(options(dir, WAIT, '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'));
console.log(await browser.version());
try {
  await check('the Portal\'s home page draws the trees', () => drawn(browser, 'home'));
  await check('esri-leaflet draws the trees', () => drawn(browser, 'leaflet'));
  await check('the Maps SDK draws the trees', () => drawn(browser, 'core'));
} finally {
  await browser.close();
}
await check('the browser asked no host but the proxy', () => {
  const { hosts, requests } = foreign(dir, host);
  assert(requests > 500, `${requests} requests in its log`);
  assert.deepEqual(hosts, []);
  return `${requests} requests`;
});
end();
