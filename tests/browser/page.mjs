/** What the tests do with a page: open it, and write down what it asks, sends and complains about. */

export const PHASES = ['scheduled', 'day_of', 'en_route', 'arriving', 'on_site', 'completed', 'feedback'];

const readBody = (request) => JSON.parse(request.postData() ?? '{}');

/**
 * A new browser context with one page. `seen` collects, as they happen: `decisions`
 * (`{ asked, answer }`), `batches` (`{ events, kind, type, reply }`), and `problems`.
 */
export async function openPage(browser, { viewport = { width: 390, height: 844 }, before, ...options } = {}) {
  const context = await browser.newContext({ viewport, locale: 'en-US', ...options });
  const page = await context.newPage();
  const seen = { decisions: [], batches: [], problems: [] };
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) seen.problems.push(message.text());
  });
  page.on('pageerror', (error) => seen.problems.push(error.stack));
  context.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() !== 'POST') return;
    if (pathname === '/v1/decisions') {
      const entry = { asked: readBody(request), answer: null };
      seen.decisions.push(entry);
      answered(request, entry, 'answer');
    }
    if (pathname === '/v1/events') {
      const { events } = readBody(request);
      const entry = { events, kind: request.resourceType(), type: request.headers()['content-type'], reply: null };
      seen.batches.push(entry);
      answered(request, entry, 'reply');
    }
  });
  await before?.(page, context);
  return { context, page, seen };
}

/** A page that leaves takes some answers with it: then the entry keeps its null. */
async function answered(request, entry, field) {
  const response = await request.response().catch(() => null);
  entry.status = response?.status() ?? null;
  entry[field] = await response?.json().catch(() => null) ?? null;
}

/** Every event sent so far, each with what the server said about its batch. */
export const sentEvents = (seen) => seen.batches.flatMap(
  ({ events, reply }) => events.map((event, index) => ({
    ...event, refused: reply?.rejected?.find((item) => item.index === index)?.code ?? null,
  })));

export async function until(what, truth, ms = 10_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await truth();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 25); });
  }
}

/** An empty page of the server's origin with the SDK on it as `window.createOfferd`. */
export async function openHarness(browser, url, { html = '', fakeClock = false, before, ...options } = {}) {
  const opened = await openPage(browser, {
    ...options,
    before: async (page, context) => {
      await context.route('**/harness*', (route) => route.fulfill({
        contentType: 'text/html',
        body: `<!doctype html><body>${html}<script type="module">
          import { createOfferd } from '/sdk.js';
          window.createOfferd = createOfferd;
          window.log = [];
          window.make = (options) => {
            const offerd = createOfferd({ appointment: { id: 'apt-1', phase: 'completed' }, customer: { id: 'c-' + crypto.randomUUID() }, timeoutMs: 5000, ...options });
            offerd.onEvent((news) => window.log.push(news));
            return (window.offerd = offerd);
          };
        </script>`,
      }));
      if (fakeClock) await page.clock.install();
      await before?.(page, context);
    },
  });
  await opened.page.goto(`${url}/harness`);
  await opened.page.waitForFunction(() => window.make);
  // Stopped where it is: from here on time passes only when a test says so.
  if (fakeClock) await opened.page.clock.pauseAt(await opened.page.evaluate(() => Date.now()) + 1000);
  return opened;
}
