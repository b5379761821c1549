// Okta's own Sign-In Widget, on the simulated organization's sign-in page in Debian's
// Chromium, signs persons in to the simulated Portal: by the Classic engine and by
// the Identity Engine, with every factor that a person can type or tap.
//
//   node check.mjs DIR CLASSIC CLASSIC_CA ENGINE ENGINE_CA
//
// CLASSIC and ENGINE are files with the line of JSON that the sandbox prints, the
// others the authorities that the browser shall trust. Prints a line for each check
// that holds or fails; exits 1 if one failed. Screenshots and the browser's profile
// are left in DIR.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import puppeteer from 'puppeteer-core';

const [dir, ...files] = process.argv.slice(2);
const WAIT = 60_000; // milliseconds that a page, or an answer, may take
const STEPS = 16; // that a sign-in may take
const read = (i) => ({ ...JSON.parse(readFileSync(files[i], 'utf8')), ca: files[i + 1] });
const worlds = { Classic: read(0), 'Identity Engine': read(2) };

// trust makes the sandboxes' authorities this user's.
function trust() {
  const home = `${dir}/home`;
  mkdirSync(`${home}/.pki/nssdb`, { recursive: true });
  const store = `sql:${home}/.pki/nssdb`;
  execFileSync('certutil', ['-d', store, '-N', '--empty-password']);
  for (const [name, { ca }] of Object.entries(worlds)) {
    execFileSync('certutil', ['-d', store, '-A', '-t', 'C,,', '-n', name, '-i', ca]);
  }
  return home;
}

function launch(home) {
  return puppeteer.launch({
    executablePath: '/usr/bin/chromium', pipe: true, ignoreDefaultArgs: true, timeout: WAIT, env: { ...process.env, HOME: home },
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-default-apps', '--disable-extensions', '--disable-dev-shm-usage',
      '--force-prefers-reduced-motion', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1',
      '--window-size=1000,900', `--user-data-dir=${dir}/profile`, 'about:blank'],
  });
}

// tap clicks an element wherever it is: the widget moves what it shows.
const tap = (element) => element.evaluate((e) => e.click());

// Person is somebody before a sign-in page, who sees what the widget shows and
// knows what its last answer said.
class Person {
  static async open(world, name) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    await page.setViewport({ width: 1000, height: 900 });
    const person = new Person();
    Object.assign(person, { world, page, context, said: {}, answers: 0, trouble: [], user: world.users.find((u) => u.name === name) });
    page.on('pageerror', (e) => person.trouble.push(e.message));
    page.on('requestfailed', (r) => person.trouble.push(`${r.url().slice(0, 80)}: ${r.failure()?.errorText}`));
    page.on('response', (r) => person.hear(r));
    await page.goto(`${world.portal}/sharing/rest/oauth2/saml/authorize?client_id=arcproxytest&response_type=code&redirect_uri=urn:ietf:wg:oauth:2.0:oob`,
      { waitUntil: 'domcontentloaded', timeout: WAIT });
    return person;
  }

  async hear(response) {
    const { pathname } = new URL(response.url());
    if (!/^\/(idp\/idx|api\/v1\/authn)(\/|$)/.test(pathname)) return;
    try {
      this.said = await response.json();
      this.answers++;
    } catch { /* the page has gone on */ }
  }

  // after does something and waits for an answer to it, or for the next page.
  async after(what) {
    const { answers } = this;
    await what();
    const end = Date.now() + WAIT;
    while (this.answers === answers && this.atOkta()) {
      assert(Date.now() < end, 'no answer to the widget');
      await sleep(50);
    }
    await sleep(400); // for the widget to show it
  }

  atOkta() { return this.page.url().startsWith(this.world.okta); }

  // see returns the first element of a selector that is shown, null if none is.
  async see(selector) {
    for (const element of await this.page.$$(`#signin-container ${selector}`)) {
      if (await element.isVisible()) return element;
    }
    return null;
  }

  async type(selector, text) {
    const input = await this.page.waitForSelector(`#signin-container ${selector}`, { visible: true, timeout: WAIT });
    await input.click({ clickCount: 3 });
    await input.type(text);
  }

  async click(selector) {
    await tap(await this.page.waitForSelector(`#signin-container ${selector}`, { visible: true, timeout: WAIT }));
  }

  submit() { return this.after(() => this.click('input[type=submit]')); }

  // shot takes a screenshot, unless the page is just being left.
  async shot(name) {
    try {
      await this.page.screenshot({ path: `${dir}/${name}.png` });
    } catch (e) {
      console.log(`no screenshot ${name}: ${e.message}`);
    }
  }

  // code asks the simulated device or inbox for what a person would read there.
  async code(factor) {
    const { okta } = this.world;
    if (factor === 'totp') {
      const res = await fetch(`${okta}/sandbox/token`, { method: 'POST', body: JSON.stringify({ login: this.user.login, device: 'totp' }) });
      return (await res.json()).code;
    }
    const { messages } = await (await fetch(`${okta}/sandbox/inbox/messages?login=${encodeURIComponent(this.user.login)}`)).json();
    const { code } = messages.find(({ channel }) => channel === factor);
    return code;
  }

  async press(button) {
    const res = await fetch(`${this.world.okta}/sandbox/phone/${button}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ login: this.user.login }),
    });
    assert(res.ok, `the phone's ${button}: ${res.status}`);
  }

  // arrived waits for the Portal's page that ends a sign-in.
  async arrived() {
    await this.page.waitForFunction(() => document.title.startsWith('SUCCESS code='), { timeout: WAIT });
    assert(this.page.url().startsWith(this.world.portal), this.page.url());
    assert.deepEqual(this.trouble, []);
    await this.context.close();
  }
}

const ANSWER = 'Boiled liver'; // dora's

// classic goes through the widget's pages for the Authentication API.
async function classic(person, factor) {
  const { user } = person;
  await person.type('#okta-signin-username', user.login);
  await person.type('#okta-signin-password', user.password);
  await person.shot('classic');
  await person.submit();
  if (factor === 'none') return;
  assert.equal(person.said.status, 'MFA_REQUIRED');
  const icon = { totp: 'google-auth', push: 'okta-verify', sms: 'sms', email: 'email', question: 'question' }[factor];
  await person.page.waitForSelector('#signin-container a.option-selected', { visible: true, timeout: WAIT });
  // Of the one that is shown there is an option, too.
  await person.page.$eval(`#signin-container a.factor-option:has(.mfa-${icon}-30)`, (option) => option.click());
  await sleep(400);
  await person.shot(`classic-${factor}`);
  switch (factor) {
    case 'push':
      await person.submit();
      await person.press('approve');
      return;
    case 'sms':
      await person.after(() => person.click('.sms-request-button'));
      break;
    case 'email':
      await person.submit();
      break;
  }
  await person.type('input[name=answer]', factor === 'question' ? ANSWER : await person.code(factor));
  await person.submit();
}

const KEYS = { totp: 'google_otp', push: 'okta_verify', sms: 'phone_number', email: 'okta_email', question: 'security_question' };

// engine goes through the widget's pages for the Identity Engine, in whatever order
// they come.
async function engine(person, factor) {
  const { user } = person;
  const key = KEYS[factor];
  let approved = false;
  await person.page.waitForSelector('#signin-container .siw-main-view', { timeout: WAIT });
  for (let step = 0; step < STEPS && person.atOkta(); step++) {
    const names = (person.said.remediation?.value ?? []).map(({ name }) => name);
    const current = (person.said.currentAuthenticator ?? person.said.currentAuthenticatorEnrollment)?.value;
    await person.shot(`engine-${factor}-${step}`);
    if (person.said.success || person.said.messages) return;
    if (names.includes('identify')) {
      await person.type('input[name=identifier]', user.login);
      if (await person.see('input[name="credentials.passcode"]')) await person.type('input[name="credentials.passcode"]', user.password);
      await person.submit();
    } else if (names.includes('authenticator-verification-data') && current.key === key) {
      // Sends a push or a message. Of SMS and a call, the first is the button's.
      const link = await person.see('.phone-authenticator-challenge__link');
      const { value: [choice] } = person.said.remediation.value.find(({ name }) => name === 'authenticator-verification-data');
      const { options: [first] } = choice.form.value.find(({ name }) => name === 'methodType');
      if (link && first.value !== 'sms') await person.after(() => tap(link)); else await person.submit();
    } else if (names.includes('challenge-poll') && current.key === key) {
      if (!approved) await person.press('approve');
      approved = true; // a poll that was under way does not know it yet
      await person.after(() => {}); // the widget polls
    } else if (names.includes('challenge-authenticator') && ['okta_password', key].includes(current.key)) {
      const link = await person.see('.enter-auth-code-instead-link');
      if (link) await tap(link);
      const field = factor === 'question' && current.key === key ? 'answer' : 'passcode';
      const secret = current.key === 'okta_password' ? user.password : factor === 'question' ? ANSWER : await person.code(factor);
      await person.type(`input[name="credentials.${field}"]`, secret);
      await person.submit();
    } else {
      const other = await person.see('[data-se=switchAuthenticator]');
      if (other) {
        await tap(other);
        await person.page.waitForSelector('#signin-container .authenticator-button', { visible: true, timeout: WAIT });
      }
      const wanted = await person.see('[data-se=okta_password] .select-factor') ?? await person.see(`[data-se^=${key}] .select-factor`);
      assert(wanted, `nothing to choose for ${factor} among ${names}`);
      await person.after(() => tap(wanted));
    }
  }
}

let failed = 0;
async function check(name, what) {
  try {
    await what();
    console.log(`ok: ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAILED: ${name}: ${e.message.split('\n').slice(0, 6).join(' ').slice(0, 1500)}`);
  }
}

const browser = await launch(trust());
console.log(await browser.version());
try {
  for (const [name, world] of Object.entries(worlds)) {
    const walk = name === 'Classic' ? classic : engine;
    for (const [factor, who] of Object.entries({ none: 'carol', totp: 'dora', push: 'alice', email: 'dora', question: 'dora', sms: 'dora' })) { // an SMS is sent once in 30 s
      await check(`${name}: ${factor === 'none' ? 'a password alone' : factor}`, async () => {
        const person = await Person.open(world, who);
        await walk(person, factor).catch(async (e) => {
          await person.shot(`failed-${name.replace(' ', '-')}-${factor}`);
          throw e;
        });
        await person.arrived();
      });
    }
    await check(`${name}: a wrong password is refused, and shown as that`, async () => {
      const person = await Person.open(world, 'carol');
      const right = person.user.password;
      person.user = { ...person.user, password: `${right}?` };
      if (name === 'Classic') {
        await classic(person, 'none');
      } else {
        await person.page.waitForSelector('#signin-container .siw-main-view', { timeout: WAIT });
        await engine(person, 'wrong');
      }
      await person.page.waitForSelector('#signin-container .okta-form-infobox-error', { visible: true, timeout: WAIT });
      await person.shot(`${name.replace(' ', '-')}-wrong`);
      await person.context.close();
    });
  }
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
