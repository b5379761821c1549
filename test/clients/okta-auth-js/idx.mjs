// Okta's own SDK signs in to the simulated organization by the Identity Engine: it
// reads the documents of /idp/idx/, finds what each form wants, and posts it. The
// sign-in begins at the simulated Portal and must end there.
//
//   node idx.mjs ENGINE
//
// ENGINE is a file with the line of JSON that the sandbox prints. Prints a line for
// each check that holds; exits 1 at the first that does not.
import { OktaAuth } from '@okta/okta-auth-js';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const world = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const user = (name) => world.users.find((u) => u.name === name);
console.warn = () => {}; // of the SDK, that a page's sign-in is none that it began
const ANSWER = 'Boiled liver'; // dora's

function expect(truth, what, seen) {
  if (!truth) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

// sdk makes a client with a storage of its own.
function sdk(headers = {}, options = {}) {
  const kept = new Map();
  const storageProvider = { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: (k) => kept.delete(k) };
  const names = ['token', 'cache', 'transaction', 'shared-transaction', 'original-uri', 'idx-response'];
  return new OktaAuth({
    issuer: `${world.okta}/oauth2/default`, clientId: 'check', redirectUri: `${world.okta}/callback`, headers, ...options,
    storageManager: Object.fromEntries(names.map((name) => [name, { storageProvider }])),
  });
}

// Browser is as much of one as a sign-in needs: cookies of two hosts.
class Browser {
  jar = {};

  async open(url, init = {}) {
    for (let hops = 0; hops < 10; hops++) {
      const { origin } = new URL(url);
      const cookies = Object.entries(this.jar[origin] ?? {}).map(([k, v]) => `${k}=${v}`).join('; ');
      const res = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, Cookie: cookies } });
      for (const line of res.headers.getSetCookie()) {
        const [name, value] = line.split(';')[0].split(/=(.*)/s);
        (this.jar[origin] ??= {})[name] = value;
      }
      if (!res.headers.has('location')) return { url, text: await res.text() };
      url = new URL(res.headers.get('location'), url).href;
      init = {};
    }
    throw new Error('too many redirects');
  }

  // submit posts the form of a page that is sent on by itself.
  submit({ url, text }) {
    const unescape = (s) => s.replace(/&#x([0-9a-f]+);|&#(\d+);|&(amp|quot|lt|gt);/g, (_, x, d, n) => (n ? { amp: '&', quot: '"', lt: '<', gt: '>' }[n] : String.fromCodePoint(x ? parseInt(x, 16) : Number(d))));
    const body = text.replace(/<!--.*?-->|<script\b.*?<\/script>/gs, '');
    const form = [...body.matchAll(/<form[^>]*\baction="([^"]*)"[^>]*>(.*?)<\/form>/gis)].find(([, , inner]) => inner.includes('name="SAMLRe'));
    expect(form, 'a form to send on', url);
    const fields = [...form[2].matchAll(/<input[^>]*>/gi)].map(([tag]) => [tag.match(/name="([^"]*)"/)?.[1], tag.match(/value="([^"]*)"/)?.[1] ?? '']);
    return this.open(new URL(unescape(form[1]), url).href, {
      method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields.filter(([n]) => n).map(([n, v]) => [unescape(n), unescape(v)])).toString(),
    });
  }
}

// SignIn is one sign-in: the SDK, and the stateHandle of its last answer.
class SignIn {
  static async begin(name) {
    const s = Object.assign(new SignIn(), { user: user(name), browser: new Browser() });
    let page = await s.browser.open(`${world.portal}/sharing/rest/oauth2/saml/authorize?client_id=arcproxytest&response_type=code&redirect_uri=urn:ietf:wg:oauth:2.0:oob`);
    if (!page.url.startsWith(world.okta)) page = await s.browser.submit(page); // by the POST binding
    const escaped = page.text.replace(/<!--.*?-->/gs, '').match(/(?:\bstateToken = |"stateToken":)(['"])(.*?)\1/)[2];
    const stateToken = escaped.replace(/\\x([0-9A-F]{2})|\\u([0-9A-F]{4})/g, (_, x, u) => String.fromCharCode(parseInt(x ?? u, 16)));
    s.auth = sdk({ Cookie: `DT=${s.browser.jar[world.okta].DT}` });
    s.tx = await s.auth.idx.start({ stateHandle: stateToken, exchangeCodeForTokens: false });
    return s;
  }

  get key() { return this.current?.key; }

  get current() { return (this.tx.context?.currentAuthenticator ?? this.tx.context?.currentAuthenticatorEnrollment)?.value; }

  get done() { return this.tx.context?.success?.href; }

  says(key) { return this.tx.messages?.some((m) => m.i18n.key === key); }

  // go posts a step, and keeps below 20 requests of a user in 5 seconds.
  async go(values) {
    await sleep(350);
    this.tx = await this.auth.idx.proceed({ stateHandle: this.tx.context.stateHandle, ...values });
    return this.tx;
  }

  // identify gives the name and the password, wherever it is asked for.
  async identify(password = this.user.password) {
    await this.go({ step: 'identify', username: this.user.login, password });
    if (this.done || this.tx.nextStep?.name === 'identify') return;
    const step = () => this.tx.neededToProceed.map(({ name }) => name);
    if (this.key !== 'okta_password' && step().includes('select-authenticator-authenticate')) {
      const { options } = this.tx.neededToProceed.find(({ name }) => name === 'select-authenticator-authenticate').value[0];
      if (!options.some(({ relatesTo }) => relatesTo.key === 'okta_password')) return; // it was given already
      await this.go({ step: 'select-authenticator-authenticate', authenticator: 'okta_password' });
    }
    if (this.key === 'okta_password') await this.go({ step: 'challenge-authenticator', password });
  }

  // choose challenges an authenticator by a method, unless it is challenged already.
  async choose(key, methodType) {
    if (this.key !== key) await this.go({ step: 'select-authenticator-authenticate', authenticator: key });
    const data = () => this.tx.neededToProceed.some(({ name }) => name === 'authenticator-verification-data');
    if (data()) await this.go({ step: 'authenticator-verification-data', methodType });
    expect(this.key === key && !data(), `${key} is challenged`, this.tx.neededToProceed);
  }

  async code(channel) {
    const { messages } = await (await fetch(`${world.okta}/sandbox/inbox/messages?login=${encodeURIComponent(this.user.login)}`)).json();
    return messages.find((m) => m.channel === channel).code;
  }

  async press(button) {
    const res = await fetch(`${world.okta}/sandbox/phone/${button}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ login: this.user.login }),
    });
    expect(res.ok, `the phone's ${button}`, res.status);
  }

  // end follows the link of success to the Portal's code.
  async end() {
    expect(this.done, 'success', { status: this.tx.status, messages: this.tx.messages, next: this.tx.nextStep });
    const page = await this.browser.submit(await this.browser.open(this.done));
    expect(page.url.startsWith(world.portal) && /SUCCESS code=/.test(page.text), 'the Portal gives a code', page.url);
  }
}

// passCode is what a person's authenticator app shows.
async function passCode(login) {
  const res = await fetch(`${world.okta}/sandbox/token`, { method: 'POST', body: JSON.stringify({ login, device: 'totp' }) });
  return (await res.json()).code;
}

const checks = {
  'the organization runs the Identity Engine': async () => {
    const doc = await (await fetch(`${world.okta}/.well-known/okta-organization`)).json();
    expect(doc.pipeline === 'idx', 'pipeline', doc);
  },
  'a password alone': async () => {
    const s = await SignIn.begin('carol');
    await s.identify();
    await s.end();
  },
  'a wrong password is refused, the right one is not': async () => {
    const s = await SignIn.begin('carol');
    await s.identify('wrong');
    expect(s.says('incorrectPassword') || s.says('errors.E0000004'), 'messages', s.tx.messages);
    expect(s.tx.nextStep, 'a way on', s.tx.status);
    if (s.tx.nextStep.name === 'identify') await s.identify();
    else await s.go({ step: 'challenge-authenticator', password: s.user.password });
    await s.end();
  },
  'push: polled until it is approved': async () => {
    const s = await SignIn.begin('alice');
    await s.identify();
    await s.choose('okta_verify', 'push');
    expect(s.tx.nextStep.name === 'challenge-poll' && [2500, 4000, 7000].includes(s.tx.nextStep.refresh), 'a poll', s.tx.nextStep);
    await s.go({ step: 'challenge-poll' });
    expect(!s.done, 'not yet', s.tx.status);
    await s.press('approve');
    await s.go({ step: 'challenge-poll' });
    await s.end();
  },
  'push: a rejection offers another': async () => {
    const s = await SignIn.begin('alice');
    await s.identify();
    await s.choose('okta_verify', 'push');
    await s.press('deny');
    await s.go({ step: 'challenge-poll' });
    expect(s.says('api.authn.poll.error.push_rejected'), 'messages', s.tx.messages);
    expect(s.tx.neededToProceed.some(({ name }) => name === 'resend'), 'resend', s.tx.neededToProceed);
  },
  'TOTP: a wrong code is refused, the right one is not, twice is': async () => {
    const s = await SignIn.begin('dora');
    await s.identify();
    await s.choose('google_otp', 'otp');
    await s.go({ step: 'challenge-authenticator', verificationCode: '12345' });
    expect(s.says('authfactor.challenge.soft_token.invalid_passcode'), 'messages', s.tx.messages);
    let code = await passCode(s.user.login);
    await s.go({ step: 'challenge-authenticator', verificationCode: code });
    if (s.says('authfactor.challenge.soft_token.used_passcode')) { // by an earlier run
      await sleep(30000 - (Date.now() % 30000) + 500);
      code = await passCode(s.user.login);
      await s.go({ step: 'challenge-authenticator', verificationCode: code });
    }
    await s.end();
    const again = await SignIn.begin('dora');
    await again.identify();
    await again.choose('google_otp', 'otp');
    await again.go({ step: 'challenge-authenticator', verificationCode: code });
    expect(again.says('authfactor.challenge.soft_token.used_passcode'), 'messages', again.tx.messages);
  },
  'SMS: sent when it is chosen, and checked': async () => {
    const s = await SignIn.begin('dora');
    await s.identify();
    await s.choose('phone_number', 'sms');
    await s.go({ step: 'challenge-authenticator', verificationCode: 'x' });
    expect(s.says('api.authn.error.PASSCODE_INVALID'), 'messages', s.tx.messages);
    await s.go({ step: 'challenge-authenticator', verificationCode: await s.code('sms') });
    await s.end();
  },
  'e-mail: sent when it is chosen, and checked': async () => {
    const s = await SignIn.begin('dora');
    await s.identify();
    await s.choose('okta_email', 'email');
    await s.go({ step: 'challenge-authenticator', verificationCode: await s.code('email') });
    await s.end();
  },
  'a security question': async () => {
    const s = await SignIn.begin('dora');
    await s.identify();
    await s.choose('security_question', 'security_question');
    await s.go({ step: 'challenge-authenticator', answer: 'broccoli' });
    expect(s.tx.messages?.length === 1 && !s.done, 'messages', s.tx.messages);
    await s.go({ step: 'challenge-authenticator', answer: ANSWER });
    await s.end();
  },
  'an interaction code: tokens for an application with pages of its own': async () => {
    await sleep(2000); // for carol's limit
    const s = Object.assign(new SignIn(), { user: user('carol'), auth: sdk({}, { ...world.client, scopes: ['openid', 'profile', 'email'] }) });
    s.tx = await s.auth.idx.start();
    await s.identify();
    expect(s.tx.status === 'SUCCESS', 'status', { status: s.tx.status, next: s.tx.nextStep, messages: s.tx.messages });
    const { claims } = s.tx.tokens.idToken;
    expect(claims.aud === world.client.clientId && claims.preferred_username === s.user.login, 'claims', claims);
  },
  'cancel begins anew, and what was before is over': async () => {
    const s = await SignIn.begin('carol');
    const { stateHandle } = s.tx.context;
    const { rawIdxState } = await s.tx.actions.cancel();
    expect(rawIdxState.remediation.value.some(({ name }) => name === 'identify') && rawIdxState.stateHandle !== stateHandle, 'identify', rawIdxState);
    // The SDK does not read a refusal in ion+json that introspect gives.
    const refused = await sdk().idx.start({ stateHandle }).then(() => null, (e) => e);
    expect(refused?.xhr?.status === 401 && refused.xhr.responseText.includes('"idx.session.expired"'), 'refused', refused?.xhr);
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${name}`);
  } catch (e) {
    console.error(`FAILED: ${name}: ${e.stack ?? e.message ?? e}`);
    process.exit(1);
  }
}
