// The page is made by the proxy, and works without this script. With it, changes come
// by themselves: an event says that something has changed, the page is asked for
// again, and what differs is put in place. What is not touched keeps its focus, its
// open parts and what was typed.
(() => {
  'use strict';
  const HOME = '/_arcproxy/';
  const SAID = 20_000; // milliseconds for which is said what became of a form
  const said = document.getElementById('said');
  const live = document.getElementById('live');

  // ---- times ----

  const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
  const minute = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
  const second = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

  // duration says how long so many seconds are, as moment.go does.
  function duration(s, fine) {
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min${fine ? ` ${s % 60} s` : ''}`;
    if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} days`;
  }

  function relative(ms) {
    const s = Math.floor(Math.abs(ms) / 1000);
    if (s === 0) return 'now';
    return ms < 0 ? `${duration(s)} ago` : `in ${duration(s)}`;
  }

  function told(at, form, now) {
    const ms = at - now;
    switch (form) {
      case 'ago': return relative(ms);
      case 'left': return `${ms > 0 ? `${duration(Math.floor(ms / 1000), true)} left, ` : ''}until ${second.format(at)}`;
      case 'clock': return second.format(at);
      default: {
        const today = at.toDateString() === now.toDateString();
        return `${today ? '' : `${day.format(at)}, `}${minute.format(at)}, ${relative(ms)}`;
      }
    }
  }

  // times puts every time in the browser's own.
  function times() {
    const now = new Date();
    for (const t of document.querySelectorAll('time[datetime]')) {
      const at = new Date(t.dateTime);
      const text = told(at, t.dataset.form, now);
      if (t.textContent !== text) t.textContent = text;
      const title = full.format(at);
      if (t.title !== title) t.title = title;
    }
  }

  // ---- putting in place what differs ----

  const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key ?? node.id : '');

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) {
      // What a person has opened stays open.
      if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    children(old, fresh);
  }

  function children(old, fresh) {
    const keyed = new Map([...old.children].filter(key).map((node) => [key(node), node]));
    const wanted = new Set([...fresh.children].map(key));
    for (const [k, node] of keyed) {
      if (!wanted.has(k)) node.remove(); // first, so that what stays need not move
    }
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      let have = keyed.get(key(want));
      if (have && have.nodeName !== want.nodeName) have = undefined;
      while (have && at && at !== have && !key(at)) {
        const next = at.nextSibling;
        at.remove();
        at = next;
      }
      if (!have && !key(want) && at && !key(at) && at.nodeName === want.nodeName) have = at;
      if (!have) {
        old.insertBefore(document.importNode(want, true), at);
        continue;
      }
      if (have === at) at = at.nextSibling;
      else old.insertBefore(have, at);
      morph(have, want);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // put shows a page's text. What was said about the last thing done stays until the
  // next is, unless own is true: then this page is the answer to that.
  function put(text, own) {
    const fresh = new DOMParser().parseFromString(text, 'text/html');
    if (!fresh.getElementById('said')) { // the gate has closed, or this is another version
      location.reload();
      return;
    }
    if (!own) fresh.getElementById('said').replaceWith(said.cloneNode(true));
    fresh.getElementById('live').replaceWith(live.cloneNode(true));
    document.title = fresh.title;
    for (const part of ['header', 'main', 'footer']) morph(document.querySelector(`body > ${part}`), fresh.querySelector(`body > ${part}`));
    times();
  }

  // ---- hearing of changes ----

  let asking = false; // for the page
  let again = false; // something has changed meanwhile

  async function refresh() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      do {
        again = false;
        const before = posts;
        const res = await fetch(HOME, { headers: { Accept: 'text/html' } });
        const text = await res.text();
        if (before === posts) put(text, false); // else a newer page has been put
      } while (again);
      state('');
    } catch {
      state('The proxy cannot be reached.');
    } finally {
      asking = false;
    }
  }

  function state(text) {
    if (live.textContent !== text) live.textContent = text;
  }

  function listen() {
    const events = new EventSource(`${HOME}api/v1/events`);
    events.addEventListener('change', refresh);
    events.addEventListener('error', () => {
      state('Connecting again …');
      if (events.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      setTimeout(() => refresh().then(listen), 15_000);
    });
  }

  // ---- forms ----

  let forget; // the timer that ends what is said
  let posts = 0; // how often one was sent or answered
  const sent = new WeakSet(); // those that are under way

  document.addEventListener('submit', async (e) => {
    const form = e.target;
    if (form.method !== 'post') return;
    e.preventDefault();
    if (sent.has(form)) return;
    sent.add(form);
    const button = form.querySelector('button');
    button.setAttribute('aria-disabled', 'true');
    posts++;
    try {
      const res = await fetch(form.action, { method: 'POST', headers: { Accept: 'text/html' }, body: new URLSearchParams(new FormData(form)) });
      const text = await res.text();
      posts++;
      if (res.ok) {
        form.reset();
        form.closest('details')?.removeAttribute('open');
      }
      put(text, true);
    } catch {
      said.textContent = 'The proxy cannot be reached. Whether that was done cannot be told.';
      said.className = 'bad';
    }
    clearTimeout(forget);
    forget = setTimeout(() => { said.textContent = ''; }, SAID);
    sent.delete(form);
    button.removeAttribute('aria-disabled');
    if (!document.activeElement || document.activeElement === document.body) said.focus(); // what had the focus is gone
  });

  // A page that was left and is come back to by "back" is an old one.
  addEventListener('pageshow', (e) => { if (e.persisted) refresh(); });
  if (location.search) history.replaceState(null, '', HOME); // what was said is not said again
  times();
  setInterval(times, 1000);
  listen();
})();
