// The console's page in Debian's Chromium: people do what sign-ins ask of them while
// requests wait, with a script and without one. The browser belongs to the user that
// runs the program, and needs no key.
//
//   node check.mjs DIR
//
// Prints a line for each check that holds or fails; exits 1 if one failed. The
// screenshots, the browser's profile and its log of the network are left in DIR.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import puppeteer from 'puppeteer-core';
import { check, end, foreign, options, trust } from './chromium.mjs';

const { CONSOLE_PORT: port, CONSOLE_ROOT: root, CONSOLE_OKTA_URL: okta, CONSOLE_SANDBOX_CONTROL: control, CONSOLE_PID: pid } = process.env;
const dir = process.argv[2];
const host = `localhost:${port}`;
const home = `https://${host}/_arcproxy/`;
const WAIT = 30_000; // milliseconds
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

mkdirSync(dir, { recursive: true });
trust(root);
const browser = await puppeteer.launch(options(dir, WAIT, '--hide-scrollbars'));
console.log(await browser.version());

const trouble = []; // what pages complained of
const seen = []; // what they showed

// open shows the console.
async function open(script = true) {
  const page = await browser.newPage();
  await page.setJavaScriptEnabled(script);
  page.setDefaultTimeout(WAIT);
  page.on('console', (m) => { if (m.type() === 'error') trouble.push(m.text()); });
  page.on('pageerror', (e) => trouble.push(e.message));
  page.on('response', async (r) => {
    if (r.status() >= 400) trouble.push(`${r.url()}: ${r.status()}`);
    if (/text\/html/.test(r.headers()['content-type'])) seen.push(await r.text().catch(() => ''));
  });
  if (script) {
    await page.exposeFunction('violation', (text) => trouble.push(text));
    await page.evaluateOnNewDocument(() => addEventListener('securitypolicyviolation', (e) => violation(`${e.violatedDirective} forbids ${e.blockedURI}`)));
  }
  await page.setViewport({ width: 1200, height: 900 });
  const answer = await page.goto(home, { waitUntil: 'load' });
  assert.equal(answer.status(), 200);
  return page;
}

// curl asks the Portal who the caller of that name is, and waits for it.
function curl(name) {
  return promisify(execFile)('curl', ['--silent', '--show-error', '--max-time', '90', '--noproxy', '*', '--cacert', root,
    '--header', `X-Esri-Authorization: Bearer ${process.env[`CONSOLE_KEY_${name.toUpperCase()}`]}`,
    `https://${host}/portal/sharing/rest/community/self?f=json`]).then(({ stdout }) => JSON.parse(stdout));
}

const json = async (address, init) => (await fetch(address, { ...init, signal: AbortSignal.timeout(WAIT) })).json();
const counts = () => json(`${control}/counts`);

// pick presses a number on bob's phone, one of those that it shows.
async function pick(number) {
  const { pushes } = await json(`${okta}/sandbox/phone/pushes`);
  assert.equal(pushes.length, 1);
  assert(pushes[0].choices.includes(number), `the console shows ${number}, and the phone ${pushes[0].choices}`);
  const { result } = await json(`${okta}/sandbox/phone/approve`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ id: pushes[0].id, number }) });
  assert.equal(result, 'approved');
}

// code is what has come to dora last by a channel.
async function code(channel) {
  const { messages } = await json(`${okta}/sandbox/inbox/messages`);
  return messages.find((m) => m.channel === channel).code;
}

// text waits until the page, or a part of it, says something.
async function text(page, wanted, part = 'main') {
  try {
    await page.waitForFunction((p, w) => document.querySelector(p)?.innerText.includes(w), { polling: 50 }, part, wanted);
  } catch {
    throw new Error(`no "${wanted}" in ${part}: ${await page.$eval('main', (e) => e.innerText.slice(0, 900))}`);
  }
}

// until waits for what is to become true in this machine.
async function until(what) {
  for (const end = Date.now() + WAIT; !what();) {
    assert(Date.now() < end, `it did not come true in ${WAIT} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

const ask = (name) => `article[data-key="identity ${name}"].ask`;
const card = (name) => `.identities article[data-key="identity ${name}"]`;
const shown = async (page, selector) => (await page.waitForSelector(selector)).evaluate((e) => e.textContent.trim());
const press = async (page, name, label) => (await page.$(`${card(name)} ::-p-text(${label})`)).click();

// judge lets axe-core look at the page, in light, in dark and on a phone, and takes
// pictures of it.
async function judge(page, what) {
  const found = [];
  for (const [name, width, scheme] of [['light', 1200, 'light'], ['dark', 1200, 'dark'], ['390', 390, 'light'], ['390-dark', 390, 'dark']]) {
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.screenshot({ path: `${dir}/${what}-${name}.png`, fullPage: true });
    await page.evaluate(axe);
    const { violations, passes } = await page.evaluate(() => axe.run());
    assert(passes.length > 15, `only ${passes.length} rules had something to judge`);
    found.push(...violations.map((v) => `${name}: ${v.impact} ${v.id}: ${v.nodes[0].html}`));
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(over <= 0, `${name}: it is ${over} pixels too wide`);
  }
  await page.setViewport({ width: 1200, height: 900 });
  await page.emulateMediaFeatures([]);
  assert.deepEqual(found, []);
}

const page = await open();
await check('the console greets who runs the program', async () => {
  await text(page, 'Ready', 'header');
  for (const name of ['bob', 'carol', 'dora']) assert.match(await shown(page, card(name)), /Signed out/);
  await judge(page, 'rest');
});

let bob, dora; // requests that wait
await check('a number and a code are asked for while requests wait', async () => {
  [bob, dora] = [curl('bob'), curl('dora')];
  await page.waitForSelector(`${ask('bob')} .number`);
  await page.waitForSelector(`${ask('dora')} input[name=answer]`);
  assert.match(await page.title(), /^\(2\) waiting for you/);
  const call = await page.$eval('#call[aria-live=assertive]', (e) => e.textContent);
  assert.match(call, /bob: Choose this number on the phone.*: \d+\. dora: Code from the text message/);
  assert.match(await shown(page, ask('bob')), /1 caller waiting/);
});
await check('axe-core finds nothing in what is asked', () => judge(page, 'asking'));
await check('the number is the one that the phone wants', async () => {
  const number = Number(await shown(page, `${ask('bob')} .number`));
  const size = await page.$eval(`${ask('bob')} .number`, (e) => parseFloat(getComputedStyle(e).fontSize));
  assert(size >= 64, `it is ${size} pixels large`);
  await pick(number);
  const { username } = await bob;
  assert.equal(username, process.env.CONSOLE_BOB_USERNAME);
  await text(page, 'Signed in', card('bob'));
  await page.waitForSelector(ask('bob'), { hidden: true });
  return `${number}, and curl is ${username}`;
});
await check('what is being typed stays when something else changes', async () => {
  const field = await page.$(`${ask('dora')} input[name=answer]`);
  await field.focus();
  await page.keyboard.type('12');
  assert.equal((await curl('carol')).error.code, 503);
  await text(page, 'Credential refused', card('carol'));
  const state = await page.evaluate(() => [document.activeElement.name, document.activeElement.value, getComputedStyle(document.activeElement).outlineStyle]);
  assert.deepEqual(state, ['answer', '12', 'solid']);
  await page.keyboard.press('Backspace');
  await page.keyboard.press('Backspace');
});
await check('a failure is shown with its remedy', async () => {
  const said = (await shown(page, `${card('carol')} .note`)).replace(/\s+/g, ' ');
  assert.match(said, /Okta: password: credential refused \(E0000004\).*What to do: Check the user name and password by signing in to Okta in a browser/);
  await text(page, 'carol GET /portal/sharing/rest/community/self', '[data-key=failures]');
});
await check('a wrong code is asked for again', async () => {
  const field = await page.$(`${ask('dora')} input[name=answer]`);
  const right = await code('sms');
  await field.focus();
  await page.keyboard.type(right === '271828' ? '314159' : '271828');
  await page.keyboard.press('Enter');
  await text(page, 'The last answer was refused.', ask('dora'));
});
await check('the code of a text message, entered by the keyboard alone', async () => {
  const right = await code('sms');
  await page.evaluate(() => document.activeElement.blur());
  let at = '';
  for (let i = 0; i < 20 && at !== 'answer'; i++) {
    await page.keyboard.press('Tab');
    at = await page.evaluate(() => document.activeElement.name);
  }
  assert.equal(at, 'answer', 'the field is not reached by Tab');
  await page.keyboard.type(right);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Send');
  await page.keyboard.press('Space');
  const { username } = await dora;
  assert.equal(username, process.env.CONSOLE_DORA_USERNAME);
  await text(page, 'Signed in', card('dora'));
  await text(page, 'Sent.', '#said[role=status]');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'said', 'what had the focus is gone, and it is nowhere');
  return `curl is ${username}`;
});
await check('requests, sign-ins and how long it took are shown', async () => {
  for (const [part, wanted] of [['requests', 'bob as bob'], ['activity', '3 requests, 1 failed'], ['activity', '2 sign-ins']]) await text(page, wanted, `section[data-key=${part}]`);
  await page.$$eval('[data-key=requests] details', (all) => all.forEach((d) => { d.open = true; }));
  await judge(page, 'later');
  await curl('bob');
  await text(page, '4 requests', 'section[data-key=activity]');
  assert.equal(await page.$eval('[data-key=requests] details', (d) => d.open), true, 'what was opened has closed');
});
await check('times are the browser\'s, and kept right', async () => {
  const zone = await browser.newPage();
  await zone.emulateTimezone('Asia/Kathmandu');
  await zone.goto(home);
  const local = await zone.$eval(`${card('bob')} time[data-form=at]`, (t) => [t.textContent, new Date(t.dateTime).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })]);
  assert(local[0].includes(local[1]) && !local[0].includes('UTC') && /, in \d+ (min|h)$/.test(local[0]), `${local}`);
  await zone.close();
  const first = await page.$eval('.as-of time', (t) => t.textContent);
  await page.waitForFunction((was) => document.querySelector('.as-of time').textContent !== was, { polling: 200 }, first);
});
await check('sign-out', async () => {
  await press(page, 'bob', 'Sign out');
  await text(page, 'Signed out', card('bob'));
  await text(page, 'Signed out.', '#said');
});

const plain = await open(false);
// look waits until a page without a script, which reloads itself, says something.
async function look(wanted, part) {
  for (const end = Date.now() + WAIT; ; await new Promise((done) => setTimeout(done, 250))) {
    const said = await plain.$eval(part, (e) => e.innerText).catch(() => ''); // between two pages
    if (said.includes(wanted)) return said;
    if (Date.now() > end) throw new Error(`no "${wanted}" in ${part}: ${said}`);
  }
}
await check('without a script: a number, by reloading', async () => {
  await Promise.all([plain.waitForNavigation(), press(plain, 'bob', 'Sign in')]);
  await look('The sign-in has begun.', '#said');
  await look('Waiting for you', card('bob'));
  const number = Number(await look('', `${ask('bob')} .number`) || await plain.waitForSelector(`${ask('bob')} .number`).then((n) => n.evaluate((e) => e.textContent)));
  await plain.screenshot({ path: `${dir}/plain-number.png`, fullPage: true });
  await pick(number);
  await look('Signed in', card('bob'));
  assert.match(await look('UTC', `${card('bob')} dl`), /until (\d+ \w{3} \d{4}, )?\d\d:\d\d UTC, in /); // with the day, if it is another
  return String(number);
});
await check('without a script: a code, by another way after a reload', async () => {
  await Promise.all([plain.waitForNavigation(), press(plain, 'dora', 'Sign out')]);
  await look('Signed out', card('dora'));
  const { CONSOLE_CONFIG: config, CONSOLE_LOG: log } = process.env;
  writeFileSync(config, readFileSync(config, 'utf8').replace('"sms"', '"email"'));
  process.kill(Number(pid), 'SIGHUP');
  await until(() => readFileSync(log, 'utf8').includes('"msg":"config reloaded"'));
  await plain.goto(home);
  await Promise.all([plain.waitForNavigation(), press(plain, 'dora', 'Sign in')]);
  await look('Code from the e-mail', ask('dora'));
  const field = await plain.$(`${ask('dora')} input[name=answer]`);
  await field.type(await code('email'));
  await plain.screenshot({ path: `${dir}/plain-code.png`, fullPage: true });
  await Promise.all([plain.waitForNavigation(), plain.keyboard.press('Enter')]);
  await look('Sent.', '#said');
  await plain.goto(home);
  await look('Signed in', card('dora'));
});
await check('without a script: sign-out', async () => {
  await Promise.all([plain.waitForNavigation(), press(plain, 'bob', 'Sign out')]);
  await look('Signed out.', '#said');
  await look('Signed out', card('bob'));
});
await plain.close();

await check('another site reaches nothing', async () => {
  const before = await counts();
  const stamp = await page.$eval('input[name=stamp]', (e) => e.value);
  const other = await browser.newPage();
  const answered = other.waitForResponse(`${home}sign-out`);
  await other.evaluate((address, fields) => {
    const form = Object.assign(document.createElement('form'), { method: 'post', action: address });
    for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { name, value }));
    document.body.append(form);
    setTimeout(() => form.submit()); // when this has been answered: the page ends with it
  }, `${home}sign-out`, { stamp, identity: 'dora' });
  const status = (await answered).status();
  assert.equal(status, 403);
  await page.bringToFront(); // to close a page that has just changed its process may never end
  assert.match(await shown(page, card('dora')), /Signed in/);
  assert.deepEqual(await counts(), before);
});
await check('what people did is all that Okta saw', async () => {
  const { okta: o } = await counts();
  assert.deepEqual([o.Pushes, o.SMS, o.Emails, o.BadPasswords], [2, 1, 1, 1]);
});
await check('no secret was shown', async () => {
  const secrets = (await json(`${control}/secrets`)).filter((s) => s.length >= 6);
  seen.push(await page.content());
  const held = secrets.filter((s) => seen.some((text) => text.includes(s)));
  assert.equal(held.length, 0, `${held.length} secrets are in a page`);
  return `${secrets.length} secrets, ${seen.length} pages`;
});
await check('nothing was wrong with the pages', () => assert.deepEqual(trouble, []));
await check('an open page does not keep the program from ending', async () => {
  const began = Date.now();
  process.kill(Number(pid));
  await until(() => !existsSync(`/proc/${pid}/exe`));
  assert(Date.now() < began + 5000, `it took ${Date.now() - began} ms`);
  await text(page, 'Connecting again', '#live');
  return `${Date.now() - began} ms`;
});
await browser.close();
await check('the browser asked no host but the proxy', () => {
  const { hosts, requests } = foreign(dir, host);
  assert(requests > 30, `${requests} requests in its log`);
  assert.deepEqual(hosts, []);
  return `${requests} requests`;
});
end();
