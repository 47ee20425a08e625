/**
 * offerd for browsers: ask for offers, show them, report what came of it.
 *
 * It never throws into the page and never holds it up: a decision that is late or lost is a
 * `fallback` answer. Events keep their ids through every retry, so the server counts each once.
 * Documentation: docs/sdk.md.
 */

// The display standard: half of the pixels, for one second without a break.
const VIEW_RATIO = 0.5;
const VIEW_MS = 1000;
// The server takes 100 events at once; browsers allow 64 KiB in flight for beacons of a page.
const BATCH_EVENTS_MAX = 100;
const BATCH_BYTES_MAX = 48 * 1024;
const FLUSH_MS = 4000;
const RETRY_MS_MAX = 60_000;
const SEND_MS_MAX = 10_000;
// What is kept over an outage, in memory and in localStorage: older events are let go first.
const KEPT_EVENTS_MAX = 200;
const KEPT_MS_MAX = 24 * 3600 * 1000;
const STORE_KEY = 'offerd.events';
const EXCLUDED_MAX = 50;
const ETA_SLIP_MS = 300_000;
const TTL_MS_MIN = 1000;

/** Makes a client for one appointment. */
export function createOfferd({
  baseUrl = '', appointment = {}, customer = {}, channel = 'web', locale = navigator.language,
  device = matchMedia('(max-width: 640px)').matches ? 'mobile' : 'desktop',
  contextToken, key, timeoutMs = 300,
} = {}) {
  const gpc = navigator.globalPrivacyControl === true;
  const visit = { phase: 'scheduled', ...appointment };
  const person = { ...customer, care: { ...customer.care } };
  if (gpc) person.consent = { ...person.consent, personalization: false };
  const measured = person.consent?.measurement !== false;

  const triggers = new Map(); // name → { count, at }
  const shown = new Map(); // offer → { element, stop }
  const counted = new Set(); // token and type, for types that count once
  const finished = new Set(); // offers dismissed or ordered: not to be offered again
  const refreshers = new Set();
  const watchers = new Set();
  const visible = () => document.visibilityState === 'visible';
  // A listener that fails breaks nothing here.
  const tell = (listeners, news) => listeners.forEach((listener) => {
    try { listener(news); } catch (error) { reportError(error); }
  });
  const listen = (listeners, listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };

  // ── events: recorded here, sent in batches, kept until the server has them ──

  let pending = [];
  let sending = null;
  let failures = 0;
  let timer;

  const news = (state, events, reply) => tell(watchers, { state, events, reply });

  function record(type, fields) {
    if (!measured) return;
    const event = { id: crypto.randomUUID(), type, at: new Date().toISOString(), ...fields };
    pending = [...pending, event].slice(-KEPT_EVENTS_MAX);
    news('queued', [event]);
    if (pending.length >= BATCH_EVENTS_MAX) flush(); else schedule();
  }

  function schedule() {
    // After a failure the pause doubles, with full jitter: pages must not come back in step.
    const pause = failures
      ? Math.random() * Math.min(RETRY_MS_MAX, FLUSH_MS * 2 ** failures) : FLUSH_MS;
    timer ??= setTimeout(flush, pause);
  }

  function takeBatch() {
    let bytes = 16;
    let n = 0;
    while (n < Math.min(pending.length, BATCH_EVENTS_MAX)) {
      bytes += new TextEncoder().encode(JSON.stringify(pending[n])).length + 1;
      if (n && bytes > BATCH_BYTES_MAX) break;
      n += 1;
    }
    return pending.splice(0, n);
  }

  /** Sends what is pending; true when the server has answered for all of it. */
  function flush() {
    clearTimeout(timer);
    timer = undefined;
    sending ??= drain().finally(() => {
      sending = null;
      if (pending.length) schedule();
    });
    return sending.then(() => !pending.length);
  }

  async function drain() {
    while (pending.length) {
      const batch = takeBatch();
      const again = await post(batch);
      if (again.length) {
        failures += 1;
        pending = [...again, ...pending].slice(-KEPT_EVENTS_MAX);
        if (!visible()) stash();
        return;
      }
      failures = 0;
    }
  }

  /** Returns what is worth sending again. What the server refuses is dropped for good. */
  async function post(events) {
    try {
      // text/plain needs no CORS pre-flight; the tokens inside are the proof, so no key either.
      const reply = await fetch(`${baseUrl}/v1/events`, {
        method: 'POST', body: JSON.stringify({ events }), headers: { 'content-type': 'text/plain' },
        keepalive: true, credentials: 'omit', signal: AbortSignal.timeout(SEND_MS_MAX),
      });
      if (reply.status >= 500 || reply.status === 429 || reply.status === 408) return events;
      const answer = await reply.json().catch(() => null);
      news('sent', events, answer);
      const busy = answer?.rejected?.filter((item) => item.code === 'unavailable') ?? [];
      return busy.map((item) => events[item.index]);
    } catch {
      return events;
    }
  }

  /** The page may be gone in a moment: hand everything to the browser, else to the next page. */
  function leave() {
    while (pending.length && !failures) {
      const events = takeBatch();
      let taken = false;
      try {
        taken = navigator.sendBeacon(`${baseUrl}/v1/events`, JSON.stringify({ events }));
      } catch { /* not taken */ }
      if (!taken) {
        pending = [...events, ...pending];
        stash();
        return void flush();
      }
      news('beacon', events);
    }
    stash();
  }

  function stash() {
    if (gpc || !pending.length) return;
    try {
      localStorage.setItem(STORE_KEY, JSON.stringify(withStored()));
    } catch { /* no storage: what is in memory is all there is */ }
  }

  function withStored() {
    let kept = [];
    try {
      const known = new Set(pending.map((event) => event.id));
      kept = (JSON.parse(localStorage.getItem(STORE_KEY)) ?? []).filter((event) => (
        Date.now() - Date.parse(event.at) < KEPT_MS_MAX && !known.has(event.id)));
    } catch { /* unreadable: nothing kept */ }
    return [...kept, ...pending].slice(-KEPT_EVENTS_MAX);
  }

  /** Takes up what was not sent before, by this page or an earlier one. */
  function restore() {
    if (gpc || !measured) return;
    pending = withStored();
    try { localStorage.removeItem(STORE_KEY); } catch { /* none */ }
    if (pending.length) schedule();
  }

  // ── the visit: phase, dwell, triggers ──

  let dwellFrom = performance.now();

  /** Time counts only while the page is in view. */
  function endDwell() {
    const dwell = Math.round(performance.now() - dwellFrom);
    dwellFrom = performance.now();
    if (dwell > 0) record('phase_view', { ...where(), dwell_ms: dwell });
  }

  const where = () => ({ appointment_id: visit.id, phase: visit.phase });
  const arrival = () => visit.eta_seconds != null ? Date.now() + visit.eta_seconds * 1000 : null;

  function setPhase(phase, changes = {}) {
    const left = phase !== visit.phase;
    if (left && !away) endDwell();
    Object.assign(visit, changes, { phase });
    const slip = expected != null && arrival() != null && Math.abs(arrival() - expected);
    if (left) refresh('phase');
    else if (slip > ETA_SLIP_MS) refresh('eta_slip');
  }

  function trigger(name) {
    triggers.set(name, { count: (triggers.get(name)?.count ?? 0) + 1, at: Date.now() });
  }

  // ── decisions ──

  let latest = 0;
  const turns = new Map(); // placement → the latest question about it
  let expected = null; // arrival as the latest decision knew it
  let refreshOn = [];
  let ttlTimer;
  let overdue = false;

  function refresh(reason) {
    if (reason !== 'ttl' && !refreshOn.includes(reason)) return;
    // Nobody looks: it can wait.
    if (!visible()) return void (overdue = reason);
    clearTimeout(ttlTimer);
    overdue = false;
    tell(refreshers, reason);
  }

  /** What the page shows elsewhere, and what was dismissed or ordered. */
  function exclusions(asked) {
    const excluded = new Set();
    for (const [offer, { element, stop }] of shown) {
      if (!element.isConnected) { stop(); shown.delete(offer); }
      else if (!asked.includes(offer.placement_id)) excluded.add(offer.offer_id);
    }
    return [...new Set([...excluded, ...finished])].slice(-EXCLUDED_MAX);
  }

  /** Asks for offers. Resolves always; `fallback` says that the page's own default stands in. */
  async function decide(placements, extra) {
    const asks = [].concat(placements).map((ask) => typeof ask === 'string' ? { id: ask } : ask);
    const ids = asks.map((ask) => ask.id);
    const excluded = exclusions(ids);
    const phase = visit.phase;
    const turn = ++latest;
    ids.forEach((id) => turns.set(id, turn));
    expected = arrival();
    clearTimeout(ttlTimer);
    let answer;
    try {
      const headers = { 'content-type': 'application/json' };
      if (key) headers.authorization = `Bearer ${key}`;
      const reply = await fetch(`${baseUrl}/v1/decisions`, {
        method: 'POST', headers, credentials: 'omit', signal: AbortSignal.timeout(timeoutMs),
        body: JSON.stringify({
          channel, locale, device, context_token: contextToken,
          appointment: visit, customer: person,
          triggers: [...triggers].map(([name, { count, at }]) => (
            { name, count, age_ms: Math.max(0, Date.now() - at) })),
          placements: asks.map(({ id, count = 1, exclude_offers = [] }) => (
            { id, count, exclude_offers: [...exclude_offers, ...excluded] })),
          ...extra,
        }),
      });
      if (!reply.ok) throw new Error(`http_${reply.status}`);
      answer = { fallback: null, ...await reply.json() };
    } catch (error) {
      const fallback = error.name === 'TimeoutError' ? 'timeout'
        : error.message?.startsWith('http_') ? error.message : 'network';
      answer = {
        fallback, refresh_on: ['phase'],
        placements: asks.map(({ id, fallback: offers = [] }) => (
          { id, offers: [].concat(offers), no_offer_reason: null })),
      };
    }
    for (const { id, offers } of answer.placements) {
      for (const offer of offers) offer.placement_id = id;
    }
    // Overtaken by a newer question or phase: not to be drawn.
    answer.stale = phase !== visit.phase || ids.some((id) => turns.get(id) !== turn);
    if (turn === latest) {
      refreshOn = answer.refresh_on ?? [];
      if (answer.ttl_ms) {
        ttlTimer = setTimeout(refresh, Math.max(TTL_MS_MIN, answer.ttl_ms), 'ttl');
      }
    }
    return answer;
  }

  // ── offers: what happens to them ──

  /** Offers without a token are the page's own; nobody counts them. */
  function offerEvent(type, offer, value) {
    if (offer.token) record(type, { token: offer.token, value: value ?? undefined });
  }

  function once(type, offer) {
    const mark = `${type} ${offer.token}`;
    if (counted.has(mark)) return;
    counted.add(mark);
    offerEvent(type, offer);
  }

  /** For an offer that is on the page now. */
  function show(element, offer) {
    // One element speaks for one offer.
    shown.forEach((other) => { if (other.element === element) other.stop(); });
    once('impression', offer);
    let inView = false;
    let clock;
    const look = () => {
      clearTimeout(clock);
      if (inView && visible()) clock = setTimeout(() => { once('viewable', offer); unwatch(); }, VIEW_MS);
    };
    const observer = new IntersectionObserver((entries) => {
      inView = entries.at(-1).intersectionRatio >= VIEW_RATIO;
      look();
    }, { threshold: VIEW_RATIO });
    const unwatch = () => {
      clearTimeout(clock);
      observer.disconnect();
      document.removeEventListener('visibilitychange', look);
    };
    const act = ({ target }) => {
      const what = target.closest('[data-offerd]')?.dataset.offerd;
      if (what === 'click') once('click', offer);
      if (what === 'dismiss') dismiss(offer);
    };
    const stop = () => { unwatch(); element.removeEventListener('click', act); };
    observer.observe(element);
    document.addEventListener('visibilitychange', look);
    element.addEventListener('click', act);
    shown.set(offer, { element, stop });
    return stop;
  }

  function dismiss(offer) {
    finished.add(offer.offer_id);
    shown.get(offer)?.stop();
    once('dismiss', offer);
  }

  /** Orders are sent at once; the promise is true when the server has them on disk. */
  function settle(type, offer, value) {
    finished.add(offer.offer_id);
    offerEvent(type, offer, value);
    return flush();
  }

  // ── the page comes and goes ──

  let away = false;

  function onHide() {
    if (!away) endDwell();
    away = true;
    leave();
  }

  function onVisibility() {
    if (!visible()) return onHide();
    away = false;
    dwellFrom = performance.now();
    restore();
    if (overdue) refresh(overdue);
  }
  document.addEventListener('visibilitychange', onVisibility);
  addEventListener('pagehide', onHide);
  restore();

  return {
    setPhase, trigger, decide, show, dismiss, flush,
    click: (offer) => once('click', offer),
    order: (offer) => settle('order', offer),
    convert: (offer, value = offer.price) => settle('conversion', offer, value),
    reverse: (offer, value = offer.price) => settle('reversal', offer, value),
    element: (name, offer) => record('element', { ...where(), element: name, token: offer?.token }),
    feedback(rating) {
      // Known at once: a bad visit ends the selling before anybody reads the event.
      person.care.last_rating = rating;
      trigger('feedback_given');
      record('feedback', { ...where(), rating });
    },
    onRefresh: (listener) => listen(refreshers, listener),
    onEvent: (listener) => listen(watchers, listener),
    close() {
      onHide();
      clearTimeout(ttlTimer);
      shown.forEach(({ stop }) => stop());
      refreshers.clear();
      document.removeEventListener('visibilitychange', onVisibility);
      removeEventListener('pagehide', onHide);
    },
  };
}
