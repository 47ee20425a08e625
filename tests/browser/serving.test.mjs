/** What the server does around the page: its headers, and the books it keeps of a visit. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PHASES, openPage, sentEvents, until } from './page.mjs';
import { startBrowser, startServer } from './server.mjs';

let server;
let browser;
before(async () => { [server, browser] = await Promise.all([startServer(), startBrowser()]); });
after(async () => { await browser?.close(); await server?.stop(); });

const FILES = [
  ['/demo', 'text/html'], ['/demo/demo.js', 'text/javascript'], ['/demo/demo.css', 'text/css'],
  ['/demo/assets/mark.svg', 'image/svg+xml'], ['/sdk.js', 'text/javascript'],
];

test('files are asked for again, and sent again only when they changed', async () => {
  for (const [path, type] of FILES) {
    const whole = await fetch(server.url + path);
    assert.equal(whole.status, 200, path);
    assert.equal(whole.headers.get('content-type').split(';')[0], type);
    assert.equal(whole.headers.get('cache-control'), 'no-cache');
    assert.equal(whole.headers.get('x-content-type-options'), 'nosniff');
    const size = (await whole.arrayBuffer()).byteLength;
    const tag = whole.headers.get('etag');

    const head = await fetch(server.url + path, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(Number(head.headers.get('content-length')), size);
    assert.equal(head.headers.get('etag'), tag);

    for (const known of [tag, `"other", W/${tag}`]) {
      const same = await fetch(server.url + path, { headers: { 'if-none-match': known } });
      assert.equal(same.status, 304, path);
      assert.equal((await same.arrayBuffer()).byteLength, 0);
    }
    const other = await fetch(server.url + path, { headers: { 'if-none-match': '"other"' } });
    assert.equal(other.status, 200, path);
  }
  assert.equal((await fetch(`${server.url}/demo/absent.js`)).status, 404);
});

test('the page may load and ask nothing but its own origin', async () => {
  const policy = (await fetch(`${server.url}/demo`)).headers.get('content-security-policy');
  for (const rule of ["default-src 'self'", "img-src 'self' data:", "style-src 'self'", "connect-src 'self'"]) {
    assert.ok(policy.includes(rule), `${rule} in ${policy}`);
  }
});

test('the journal holds what the page says it sent, type by type', { skip: process.env.OFFERD_URL && 'needs books of its own' }, async () => {
  const { page, context, seen } = await openPage(browser);
  await page.goto(`${server.url}/demo`);
  for (const [i, phase] of PHASES.entries()) {
    if (i) await page.click('#next');
    await until(phase, () => seen.decisions.length > i && seen.decisions.every(({ answer }) => answer));
  }
  await page.click('label[for=star-5]');
  // The page counts what it sent; when every line of its list has gone, all is in the books.
  await until('every event', async () => (
    Number(await page.textContent('#event-count')) === await page.locator('#events li').count()));
  await until('the replies', () => seen.batches.every((batch) => batch.reply));

  const sent = { decision: seen.decisions.length };
  for (const { type, refused } of sentEvents(seen)) {
    assert.equal(refused, null, type);
    sent[type] = (sent[type] ?? 0) + 1;
  }
  for (const type of ['impression', 'phase_view', 'feedback']) assert.ok(sent[type], type);
  const report = await (await fetch(`${server.admin}/v1/reports/delivery`)).json();
  // The catalog and model that served are written down too; no page sends those.
  const appended = Object.entries(report.appended).filter(([type, n]) => n && type !== 'snapshot');
  assert.deepEqual(Object.fromEntries(appended), sent);
  assert.equal(report.duplicates, 0);
  await context.close();
});
