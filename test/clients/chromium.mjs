// What clients that are pages in Debian's Chromium have in common. It is copied to
// where each is installed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';

// What Chromium asks by itself, also with an empty page, and which no flag turns
// off; these hosts it is told not to find.
const ITS_OWN = new Set(['accounts.google.com', 'update.googleapis.com']);

// trust makes a proxy's root one of this user's authorities.
export function trust(root) {
  const store = `${process.env.HOME}/.pki/nssdb`;
  mkdirSync(store, { recursive: true });
  if (!existsSync(`${store}/cert9.db`)) execFileSync('certutil', ['-d', `sql:${store}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${store}`, '-A', '-t', 'C,,', '-n', root, '-i', root]);
}

// options are for puppeteer's launch: a browser that is left alone, keeps its profile
// and its log of the network in dir, and has these arguments more.
export function options(dir, timeout, ...more) {
  return {
    executablePath: '/usr/bin/chromium', pipe: true, ignoreDefaultArgs: true, timeout,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-default-apps', '--disable-extensions', '--disable-dev-shm-usage',
      '--force-prefers-reduced-motion', ...more,
      '--disable-features=AutofillServerCommunication,NetworkTimeServiceQuerying,OptimizationHints,OptimizationGuideModelDownloading,OptimizationTargetPrediction',
      `--host-resolver-rules=${[...ITS_OWN].map((own) => `MAP ${own} ~NOTFOUND`)}`, '--window-size=1200,900', `--user-data-dir=${dir}/profile`, `--log-net-log=${dir}/net.json`, 'about:blank'],
  };
}

// foreign are the hosts but the one named that the browser, with all its workers, asked
// anything of, looked up the name of or connected to, by its own log in dir; requests
// is how many it sent.
export function foreign(dir, host) {
  const { constants: { logEventTypes: types }, events } = JSON.parse(readFileSync(`${dir}/net.json`, 'utf8'));
  const hosts = new Set();
  let requests = 0;
  for (const { type, params } of events) {
    if (type === types.URL_REQUEST_START_JOB && /^(http|ws)s?:/.test(params?.url ?? '')) {
      requests++;
      const { host: asked } = new URL(params.url);
      // What no page asked for, the browser asks for itself.
      if (params.initiator !== 'not an origin' || !ITS_OWN.has(asked)) hosts.add(asked);
    } else if (type === types.HOST_RESOLVER_MANAGER_REQUEST && params?.host) {
      const asked = params.host.replace(/^\w+:\/\//, '');
      if (asked !== '~notfound' && !ITS_OWN.has(asked)) hosts.add(asked);
    } else if (type === types.TCP_CONNECT_ATTEMPT && params?.address) {
      hosts.add(params.address.replace(/^(127\.0\.0\.1|\[::1\]):/, 'localhost:'));
    }
  }
  hosts.delete(host);
  return { hosts: [...hosts], requests };
}

let failed = 0;

// check does something, and says whether it worked and what it returns.
export async function check(name, what) {
  try {
    const detail = await what();
    console.log(`ok: ${name}${detail ? `: ${detail}` : ''}`);
  } catch (e) {
    failed++;
    console.log(`FAILED: ${name}: ${e.message.split('\n').slice(0, 8).join(' ').slice(0, 1500)}`);
  }
}

// end ends the process, with a status that says whether a check failed.
export function end() { process.exit(failed ? 1 : 0); }
