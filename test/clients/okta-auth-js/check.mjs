// Okta's own SDK signs in to the simulated organization, by the Classic
// Authentication API: with push, with TOTP, with codes that are sent, the security
// question and a YubiKey, and in the ways that must fail.
//
//   node check.mjs ORG_URL [LOGIN PASSWORD TOTP_SECRET]
//
// The account needs Okta Verify push and a TOTP authenticator; the default is
// the sandbox's alice. Pushes are answered at the sandbox's /sandbox/phone. Other
// factors are those of the sandbox's dora, whose codes are read at /sandbox/inbox.
// Prints a line for each check that holds; exits 1 at the first that does not.
import { OktaAuth } from '@okta/okta-auth-js';
import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const [orgURL, login = 'alice@example.com', password = 'correct horse battery staple +%&',
  secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'] = process.argv.slice(2);
if (!orgURL) {
  console.error('usage: node check.mjs ORG_URL [LOGIN PASSWORD TOTP_SECRET]');
  process.exit(2);
}
const org = orgURL.replace(/\/$/, '');

// sdk makes a client. Node keeps no cookies, so those that matter are headers.
const sdk = (cookie) => new OktaAuth({
  issuer: `${org}/oauth2/default`, clientId: 'check', redirectUri: `${org}/callback`,
  headers: cookie ? { Cookie: cookie } : {},
});
// device gets a DT cookie. Without one all clients of an address share one rate limit.
async function device() {
  const res = await fetch(`${org}/login/sessionCookieRedirect?redirectUrl=%2F`, { redirect: 'manual' });
  const dt = res.headers.getSetCookie().find((c) => c.startsWith('DT='))?.split(';')[0];
  expect(dt, 'a DT cookie', res.headers.getSetCookie().length);
  return dt;
}
const auth = sdk(await device());
// begin keeps below the limit of four primary authentications a second for a user.
const begin = async (client = auth) => {
  await sleep(300);
  return client.signInWithCredentials({ username: login, password });
};

function expect(truth, what, seen) {
  if (!truth) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}
async function refused(code, promise) {
  const failure = await promise.then(() => null, (e) => e);
  expect(failure?.errorCode === code, `expected ${code}`, failure?.errorCode ?? String(failure));
  expect(failure.errorSummary && failure.errorId, 'an error document with summary and id', failure);
}
function factor(tx, type) {
  expect(tx.status === 'MFA_REQUIRED', 'status', tx.status);
  const found = tx.factors.find((f) => f.factorType === type);
  expect(found, `no factor ${type}`, tx.factors.map((f) => f.factorType));
  return found;
}
async function press(button) {
  const res = await fetch(`${org}/sandbox/phone/${button}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ login }),
  });
  expect(res.ok, `the phone's ${button}`, res.status);
}
// isReplayed: a code is refused as used by an error, or by a factorResult.
const isReplayed = (tx) => tx.errorCode === 'E0000082' || (tx.status === 'MFA_CHALLENGE' && tx.factorResult === 'PASSCODE_REPLAYED');
async function replayed(promise) {
  const tx = await promise.catch((e) => e);
  expect(isReplayed(tx), 'replayed', tx.errorCode ?? tx.status);
}
// settle sends a push, presses a button after the first WAITING, and polls to the end.
async function settle(tx, button, options = {}) {
  tx = await factor(tx, 'push').verify();
  expect(tx.status === 'MFA_CHALLENGE' && tx.factorResult === 'WAITING', 'a waiting push', tx.data);
  let polls = 0;
  const end = await tx.poll({ delay: 200, ...options, transactionCallBack: (res) => {
    const answer = res._embedded.factor._embedded?.challenge?.correctAnswer;
    expect(answer === undefined || Number.isInteger(answer), 'correctAnswer is an integer', answer);
    if (++polls === 1) press(button).catch((e) => { console.error(e.message); process.exitCode = 1; });
  } });
  expect(polls > 0, 'polls', polls);
  return end;
}
// dora has every factor; one sign-in of hers as far as the choice of one.
const dora = { username: 'dora@example.com', password: "dora's pass-phrase: 7 of 9" };
async function choose(type, provider = 'OKTA') {
  await sleep(300);
  const tx = await auth.signInWithCredentials(dora);
  const found = tx.factors?.find((f) => f.factorType === type && f.provider === provider);
  expect(found, `no factor ${type}`, tx.factors?.map((f) => f.factorType));
  return found;
}
// inbox returns the code that came last by a channel.
async function inbox(channel) {
  const { messages } = await (await fetch(`${org}/sandbox/inbox/messages?login=${dora.username}`)).json();
  return messages.find((m) => m.channel === channel)?.code;
}
// sent signs dora in with a code that is sent.
async function sent(channel, soon) {
  let tx = await (await choose(channel)).verify();
  expect(tx.status === 'MFA_CHALLENGE' && typeof tx.resend === 'function', 'a challenge', tx.data);
  await refused(soon, tx.resend(channel));
  await refused('E0000068', tx.verify({ passCode: 'x' }));
  tx = await tx.verify({ passCode: await inbox(channel) });
  expect(tx.status === 'SUCCESS' && tx.sessionToken, 'status', tx.status);
}

// passCode is RFC 6238's, of now.
function passCode() {
  let bits = '';
  for (const c of secret) bits += 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)));
  const mac = createHmac('sha1', key).update(step).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1e6).padStart(6, '0');
}

const checks = {
  'the organization runs the Classic engine': async () => {
    const doc = await (await fetch(`${org}/.well-known/okta-organization`)).json();
    expect(doc.pipeline === 'v1', 'pipeline', doc);
  },
  'a wrong password is refused': () =>
    refused('E0000004', auth.signInWithCredentials({ username: login, password: 'wrong' })),
  'push: verify, poll, SUCCESS': async () => {
    const tx = await settle(await begin(), 'approve');
    expect(tx.status === 'SUCCESS' && tx.sessionToken, 'status', tx.status);
  },
  'push: a rejection stays in MFA_CHALLENGE': async () => {
    const tx = await settle(await begin(), 'deny');
    expect(tx.status === 'MFA_CHALLENGE' && tx.factorResult === 'REJECTED', 'result', tx.data);
    expect(typeof tx.poll !== 'function' && typeof tx.verify === 'function', 'next is verify', Object.keys(tx));
    await tx.cancel();
  },
  'push: prev goes back to the choice, cancel ends it': async () => {
    let tx = await factor(await begin(), 'push').verify();
    const stateToken = tx.data.stateToken;
    tx = await tx.prev();
    expect(tx.status === 'MFA_REQUIRED', 'status', tx.status);
    tx = await auth.tx.resume({ stateToken });
    expect(tx.status === 'MFA_REQUIRED', 'resumed', tx.status);
    await tx.cancel();
    await refused('E0000011', auth.tx.resume({ stateToken }));
  },
  'a call in the wrong state is refused': async () => {
    const tx = await begin();
    await refused('E0000079', auth.tx.postToTransaction(`${org}/api/v1/authn/skip`, { stateToken: tx.data.stateToken }));
    await tx.cancel();
  },
  'TOTP: a wrong code is refused, the right one is not, twice is': async () => {
    const totp = async (code) => factor(await begin(), 'token:software:totp').verify({ passCode: code });
    await refused('E0000068', totp('12345'));
    let code = passCode();
    let tx = await totp(code).catch((e) => e);
    if (isReplayed(tx)) { // an earlier run used this time step
      await sleep(30000 - (Date.now() % 30000) + 500);
      code = passCode();
      tx = await totp(code);
    }
    expect(tx.status === 'SUCCESS' && tx.sessionToken, 'status', tx.status ?? tx.errorCode);
    await replayed(totp(code));
  },
  'SMS: a code is sent, once in 30 s, and verified': () => sent('sms', 'E0000109'),
  'call: so too': () => sent('call', 'E0000133'),
  'e-mail: so too, once in 5 s': () => sent('email', 'E0000118'),
  'question: the answer is verified, in whatever case': async () => {
    const question = await choose('question');
    expect(question.profile.questionText, 'a question', question.profile);
    await refused('E0000068', question.verify({ answer: 'spinach' }));
    const tx = await (await choose('question')).verify({ answer: 'boiled LIVER' });
    expect(tx.status === 'SUCCESS' && tx.sessionToken, 'status', tx.status);
  },
  'YubiKey: a password is verified, once': async () => {
    const { code } = await (await fetch(`${org}/sandbox/token`, { method: 'POST', body: JSON.stringify({ login: dora.username, device: 'yubikey' }) })).json();
    const tx = await (await choose('token:hardware', 'YUBICO')).verify({ passCode: code });
    expect(tx.status === 'SUCCESS' && tx.sessionToken, 'status', tx.status);
    await replayed((await choose('token:hardware', 'YUBICO')).verify({ passCode: code }));
  },
  'rememberDevice: the SDK sends it in the query, the DT cookie carries it': async () => {
    const remembered = sdk(await device());
    const tx = await settle(await begin(remembered), 'approve', { rememberDevice: true });
    expect(tx.status === 'SUCCESS', 'status', tx.status);
    expect((await begin(remembered)).status === 'SUCCESS', 'MFA was asked for again on a remembered device');
    expect((await begin()).status === 'MFA_REQUIRED', 'MFA was not asked for elsewhere');
  },
  'sessions: a session token once, then get, refresh, close': async () => {
    const { sessionToken } = await settle(await begin(), 'approve');
    const open = () => fetch(`${org}/login/sessionCookieRedirect?${new URLSearchParams({ token: sessionToken, redirectUrl: `${org}/` })}`, { redirect: 'manual' });
    const sid = (res) => res.headers.getSetCookie().find((c) => c.startsWith('sid='))?.split(';')[0];
    const first = await open();
    expect(first.status === 302 && sid(first), 'a session cookie', first.status);
    expect(!sid(await open()), 'a session token opened a second session');
    const { session } = sdk(sid(first));
    const got = await session.get();
    expect(got.status === 'ACTIVE' && got.login === login, 'session', got.status);
    expect((await got.refresh()).status === 'ACTIVE', 'refreshed');
    expect((await got.user()).profile.login === login, 'user');
    await session.close();
    expect((await session.get()).status === 'INACTIVE', 'closed');
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${name}`);
  } catch (e) {
    console.error(`FAILED: ${name}: ${e.errorCode ?? ''} ${e.errorSummary ?? ''} ${e.message}`);
    process.exit(1);
  }
}
