/** The SDK's promises, one by one, in a real browser against a real server. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openHarness, sentEvents, until } from './page.mjs';
import { startBrowser, startServer } from './server.mjs';
import { startTap } from './tap.mjs';

const SIZE_MAX = 5000;
const PLACEMENT = 'summary_panel'; // has offers for anybody after the visit

let server;
let browser;
before(async () => { [server, browser] = await Promise.all([startServer(), startBrowser()]); });
after(async () => { await browser?.close(); await server?.stop(); });

const queued = (page, type) => page.evaluate((wanted) => window.log
  .filter((news) => news.state === 'queued').flatMap((news) => news.events)
  .filter((event) => !wanted || event.type === wanted), type);

/** Resolves after the browser has computed intersections once more, whatever the fake clock says. */
const intersected = (page) => page.evaluate(() => new Promise((resolve) => {
  const observer = new IntersectionObserver(() => { observer.disconnect(); resolve(); });
  observer.observe(document.body);
}));

async function showOffer(page) {
  await page.evaluate(async (placement) => {
    make();
    const answer = await offerd.decide([placement]);
    window.offer = answer.placements[0].offers[0];
    if (!window.offer) throw new Error(`no offer: ${answer.fallback ?? answer.placements[0].no_offer_reason}`);
    offerd.show(document.querySelector('#place'), window.offer);
  }, PLACEMENT);
  await intersected(page);
}

const PLACE = '<div id="place" style="width:300px;height:200px;background:#ccc">'
  + '<button data-offerd="click">yes</button><button data-offerd="dismiss">no</button></div>';

test('is at most 5 KB gzipped, and is one file without imports', async () => {
  const source = await (await fetch(`${server.url}/sdk.js`)).text();
  assert.ok(gzipSync(source, { level: 9 }).length <= SIZE_MAX, `${gzipSync(source, { level: 9 }).length} bytes`);
  assert.doesNotMatch(source, /^\s*import\s/m);
});

test('counts an impression at once and a view after one second in view', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { html: PLACE, fakeClock: true });
  await showOffer(page);
  assert.equal((await queued(page, 'impression')).length, 1);
  await page.clock.runFor(999);
  assert.equal((await queued(page, 'viewable')).length, 0, 'before the second is over');
  await page.clock.runFor(1);
  assert.equal((await queued(page, 'viewable')).length, 1);
  await page.evaluate(() => offerd.show(document.querySelector('#place'), offer));
  await intersected(page);
  await page.clock.runFor(5000);
  assert.equal((await queued(page, 'impression')).length, 1, 'once per token');
  assert.equal((await queued(page, 'viewable')).length, 1, 'once per token');
  await page.evaluate(() => offerd.flush());
  await until('the reply', () => seen.batches.length && seen.batches.every((batch) => batch.reply));
  assert.deepEqual(sentEvents(seen).map((event) => event.refused).filter(Boolean), []);
  await context.close();
});

test('starts the second again after a break', async () => {
  const { page, context } = await openHarness(browser, server.url, {
    html: `${PLACE}<div style="height:4000px"></div>`, fakeClock: true,
  });
  await showOffer(page);
  await page.clock.runFor(900);
  await page.evaluate(() => scrollTo(0, 3000));
  await intersected(page);
  await page.clock.runFor(5000);
  assert.equal((await queued(page, 'viewable')).length, 0, 'scrolled away');
  await page.evaluate(() => scrollTo(0, 110)); // 98 of 200 pixels, the margin being 8: under a half
  await intersected(page);
  await page.clock.runFor(5000);
  assert.equal((await queued(page, 'viewable')).length, 0, 'less than half');
  await page.evaluate(() => scrollTo(0, 0));
  await intersected(page);
  await page.clock.runFor(999);
  assert.equal((await queued(page, 'viewable')).length, 0, 'the 900 ms from before do not count');
  await page.clock.runFor(1);
  assert.equal((await queued(page, 'viewable')).length, 1);
  await context.close();
});

test('reports clicks, orders and their reversal; the server takes them', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { html: PLACE });
  await showOffer(page);
  await page.click('[data-offerd=click]');
  await page.click('[data-offerd=click]');
  const kept = await page.evaluate(async () => {
    const value = { amount_minor: 999, currency: 'USD' };
    return [await offerd.order(offer), await offerd.convert(offer, value), await offerd.reverse(offer, value)];
  });
  assert.deepEqual(kept, [true, true, true]);
  await until('the replies', () => seen.batches.every((batch) => batch.reply));
  const events = sentEvents(seen).filter((event) => event.token);
  assert.deepEqual(events.map((event) => event.type).sort(), ['click', 'conversion', 'impression', 'order', 'reversal']);
  assert.deepEqual(events.map((event) => event.refused).filter(Boolean), []);
  assert.equal(events.find((event) => event.type === 'conversion').value.amount_minor, 999);
  await context.close();
});

test('does not ask for what was dismissed, nor for what stands elsewhere on the page', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { html: PLACE });
  await showOffer(page);
  const id = await page.evaluate(() => offer.offer_id);
  await page.evaluate(() => offerd.decide(['feedback_panel']));
  assert.deepEqual(seen.decisions.at(-1).asked.placements[0].exclude_offers, [id], 'stands elsewhere');
  await page.evaluate((placement) => offerd.decide([placement]), PLACEMENT);
  assert.deepEqual(seen.decisions.at(-1).asked.placements[0].exclude_offers, [], 'its own place may keep it');
  await page.click('[data-offerd=dismiss]');
  assert.equal((await queued(page, 'dismiss')).length, 1);
  const again = await page.evaluate((placement) => offerd.decide([placement]), PLACEMENT);
  assert.deepEqual(seen.decisions.at(-1).asked.placements[0].exclude_offers, [id]);
  assert.ok(!again.placements[0].offers.some((offer) => offer.offer_id === id));
  await context.close();
});

test('answers with the fallback when the server is late, away or ill', async () => {
  const { page, context } = await openHarness(browser, server.url);
  const decide = (timeoutMs) => page.evaluate((ms) => make({ timeoutMs: ms })
    .decide([{ id: 'tracker_hero', fallback: [{ offer_id: 'house', content: {} }] }]), timeoutMs);
  const faults = [
    ['timeout', 100, () => {}],
    ['network', 5000, (route) => route.abort()],
    ['http_503', 5000, (route) => route.fulfill({ status: 503, body: '{}' })],
    ['network', 5000, (route) => route.fulfill({ status: 200, body: 'not json' })],
  ];
  for (const [expected, ms, fault] of faults) {
    await page.route('**/v1/decisions', fault);
    const answer = await decide(ms);
    await page.unroute('**/v1/decisions');
    assert.equal(answer.fallback, expected);
    assert.equal(answer.placements[0].offers[0].offer_id, 'house', 'the page’s own default');
  }
  await context.close();
});

test('sends triggers with count and age, and the visit as it stands', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { fakeClock: true });
  await page.evaluate(() => { make(); offerd.trigger('map_viewed'); offerd.trigger('map_viewed'); });
  await page.clock.runFor(4200);
  await page.evaluate(() => { offerd.setPhase('en_route', { eta_seconds: 900 }); return offerd.decide(['map_card']); });
  const { asked } = seen.decisions.at(-1);
  assert.equal(asked.triggers[0].name, 'map_viewed');
  assert.equal(asked.triggers[0].count, 2);
  assert.ok(asked.triggers[0].age_ms >= 4200);
  assert.equal(asked.appointment.phase, 'en_route');
  assert.equal(asked.appointment.eta_seconds, 900);
  const [dwell] = await queued(page, 'phase_view');
  assert.equal(dwell.phase, 'completed');
  assert.ok(dwell.dwell_ms >= 4200);
  await context.close();
});

test('says when to ask again: at the end of the ttl, in a new phase, when the arrival slips', async () => {
  const { page, context } = await openHarness(browser, server.url, { fakeClock: true });
  await page.route('**/v1/decisions', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ json: { ...await response.json(), ttl_ms: 45_000, refresh_on: ['phase', 'eta_slip'] } });
  });
  await page.evaluate(async () => {
    make({ appointment: { id: 'apt-1', phase: 'en_route', eta_seconds: 900 } });
    window.reasons = [];
    offerd.onRefresh((reason) => window.reasons.push(reason));
    await offerd.decide(['map_card']);
  });
  const reasons = () => page.evaluate(() => window.reasons);
  await page.evaluate(() => offerd.setPhase('en_route', { eta_seconds: 1190 }));
  assert.deepEqual(await reasons(), [], 'less than five minutes');
  await page.evaluate(() => offerd.setPhase('en_route', { eta_seconds: 1320 }));
  assert.deepEqual(await reasons(), ['eta_slip']);
  await page.evaluate(() => offerd.decide(['map_card']));
  await page.clock.runFor(45_000);
  assert.deepEqual(await reasons(), ['eta_slip', 'ttl']);
  await page.evaluate(() => offerd.setPhase('arriving', { eta_seconds: 60 }));
  assert.deepEqual(await reasons(), ['eta_slip', 'ttl', 'phase']);
  await context.close();
});

test('marks an answer that a newer question or phase has overtaken', async () => {
  const { page, context } = await openHarness(browser, server.url);
  const stale = await page.evaluate(async () => {
    make();
    const old = offerd.decide(['summary_panel']);
    const other = offerd.decide(['feedback_panel']);
    const fresh = offerd.decide(['summary_panel']);
    const answers = await Promise.all([old, other, fresh]);
    const late = offerd.decide(['summary_panel']);
    offerd.setPhase('feedback');
    return [...answers, await late].map((answer) => answer.stale);
  });
  assert.deepEqual(stale, [true, false, false, true]);
  await context.close();
});

test('sends at most 100 events at once', async () => {
  const { page, context, seen } = await openHarness(browser, server.url);
  await page.evaluate(() => { make(); for (let i = 0; i < 250; i += 1) offerd.element('live_map'); return offerd.flush(); });
  await until('all of them', () => sentEvents(seen).length === 250);
  assert.ok(seen.batches.every(({ events }) => events.length <= 100));
  assert.equal(new Set(sentEvents(seen).map((event) => event.id)).size, 250);
  await context.close();
});

test('tries again after 503 with the same ids, and not after 400', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { fakeClock: true });
  const answerWith = (status) => page.route('**/v1/events', (route) => route.fulfill({ status, body: '{}' }));
  await answerWith(503);
  const sent = await page.evaluate(() => { make(); offerd.element('live_map'); return offerd.flush(); });
  assert.equal(sent, false);
  await page.unroute('**/v1/events');
  await page.clock.runFor(8000); // the longest pause after one failure
  await until('the second try', () => seen.batches.length === 2 && seen.batches[1].reply);
  assert.deepEqual(seen.batches[0].events, seen.batches[1].events);
  assert.equal(seen.batches[1].reply.accepted, 1);

  await answerWith(400);
  await page.evaluate(() => { offerd.element('eta'); return offerd.flush(); });
  await page.clock.runFor(120_000);
  assert.equal(seen.batches.length, 3, 'refused for good');
  await context.close();
});

test('sends again only those items that the server could not take just now', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { fakeClock: true });
  await page.route('**/v1/events', (route) => route.fulfill({ json: {
    accepted: 0, duplicates: 0, rejected: [{ index: 0, code: 'malformed' }, { index: 1, code: 'unavailable' }] } }));
  await page.evaluate(() => { make(); offerd.element('live_map'); offerd.element('eta'); return offerd.flush(); });
  await page.unroute('**/v1/events');
  await page.clock.runFor(8000);
  await until('the second try', () => seen.batches.length === 2 && seen.batches[1].reply);
  assert.deepEqual(seen.batches[1].events, [seen.batches[0].events[1]]);
  await context.close();
});

test('hands what is left to sendBeacon when the page goes', async () => {
  const tap = await startTap(server.url);
  const { page, context } = await openHarness(browser, tap.url);
  await page.evaluate(() => {
    make();
    offerd.element('live_map');
  });
  // A request that is intercepted while its page goes away is lost; this page is loaded already.
  await context.unrouteAll();
  await page.goto('about:blank');
  const batches = () => tap.posted.filter((post) => post.path === '/v1/events' && post.status);
  const types = () => batches().flatMap((batch) => batch.body.events).map((event) => event.type);
  await until('the beacon', () => types().includes('phase_view'));
  assert.deepEqual(types(), ['element', 'phase_view']);
  for (const { status, type } of batches()) assert.deepEqual([status, type.split(';')[0]], [200, 'text/plain']);
  await context.close();
  await tap.stop();
});

test('keeps events over an outage and sends them from the next page, once', async () => {
  const { page, context, seen } = await openHarness(browser, server.url);
  await context.route('**/v1/events', (route) => route.abort());
  const ids = await page.evaluate(() => {
    navigator.sendBeacon = () => false;
    make();
    offerd.element('live_map');
    offerd.close();
    return JSON.parse(localStorage.getItem('offerd.events')).map((event) => event.id);
  });
  assert.equal(ids.length, 2);
  await context.unroute('**/v1/events');
  await page.goto(`${server.url}/harness`);
  await page.waitForFunction(() => window.make);
  seen.batches.length = 0;
  await page.evaluate(() => make().flush());
  await until('the reply', () => seen.batches[0]?.reply);
  assert.deepEqual(sentEvents(seen).slice(0, 2).map((event) => event.id), ids);
  assert.equal(await page.evaluate(() => localStorage.getItem('offerd.events')), null);
  await context.close();
});

test('obeys Global Privacy Control: no personalization, nothing stored', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, {
    before: (opened) => opened.addInitScript(() => {
      Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true });
    }),
  });
  await page.evaluate(() => make({ customer: { id: 'c-1', consent: { personalization: true, marketing: true } } }).decide(['summary_panel']));
  assert.deepEqual(seen.decisions[0].asked.customer.consent, { personalization: false, marketing: true });
  await page.evaluate(() => { navigator.sendBeacon = () => false; offerd.element('live_map'); offerd.close(); });
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  await context.close();
});

test('records nothing without consent to measurement', async () => {
  const { page, context, seen } = await openHarness(browser, server.url, { html: PLACE });
  await page.evaluate(async () => {
    make({ customer: { consent: { measurement: false } } });
    const answer = await offerd.decide(['summary_panel']);
    const [offer] = answer.placements[0].offers;
    if (offer) { offerd.show(document.querySelector('#place'), offer); await offerd.order(offer); }
    offerd.element('live_map');
    offerd.close();
  });
  assert.equal(seen.batches.length, 0);
  assert.equal((await queued(page)).length, 0);
  await context.close();
});
