/**
 * The README's picture: three moments of a visit side by side, from the real page and real decisions.
 *
 *     OFFERD_BIN=target/debug/offerd node tests/browser/picture.mjs
 *
 * Writes docs/images/tracker.webp. Needs what `tests/browser/run` installs.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openPage, until } from './page.mjs';
import { ROOT, startBrowser, startServer } from './server.mjs';

const FILE = path.join(ROOT, 'docs/images/tracker.webp');
const BYTES_MAX = 150_000;
const PHONE = { width: 390, height: 780 };
const SCALE = 1.5;
const GAP = 22;
const TRIES_MAX = 40;

/** A time zone in which it is three in the afternoon now. */
const AFTERNOON = `Etc/GMT${(((new Date().getUTCHours() + 21) % 24) - 12).toString().replace(/^(?=\d)/, '+')}`;

/** Offers are drawn by their odds, so a moment is opened again until it shows what it is about. */
const MOMENTS = [
  { query: 'phase=en_route', offers: ['streaming_tv', 'wifi6_extender'] },
  { query: 'phase=on_site', offers: ['online_security'] },
  { query: 'phase=feedback', offers: ['make_it_right'], act: (page) => page.click('label[for=star-2]') },
];

async function take(browser, url, { query, offers, act }) {
  for (let n = 0; n < TRIES_MAX; n += 1) {
    const { page, seen, context } = await openPage(browser, {
      viewport: PHONE, deviceScaleFactor: SCALE, reducedMotion: 'reduce', colorScheme: 'light', timezoneId: AFTERNOON,
    });
    await page.goto(`${url}/demo?${query}`);
    await until('a decision', () => seen.decisions[0]?.answer);
    if (act) {
      await act(page);
      await until('the next decision', () => seen.decisions[1]?.answer);
    }
    const shown = seen.decisions.at(-1).answer.placements.flatMap((placement) => placement.offers.map((offer) => offer.offer_id));
    if (offers.every((offer) => shown.includes(offer))) {
      await until('the offers', async () => (await page.locator('.offer[data-offer]').count()) >= shown.length);
      // The demo's own controls are not the customer's.
      await page.evaluate(() => {
        document.querySelector('.controls').style.display = 'none';
        document.activeElement.blur();
        scrollTo(0, 0);
      });
      await page.evaluate(() => Promise.all([...document.images].map((image) => image.decode())));
      const png = await page.screenshot();
      await context.close();
      return png;
    }
    await context.close();
  }
  throw new Error(`${query}: never saw ${offers}`);
}

/** Draws the pictures in a row with round corners and returns the smallest good WebP of them. */
async function compose(browser, pictures) {
  const page = await browser.newPage();
  const sources = pictures.map((png) => `data:image/png;base64,${png.toString('base64')}`);
  const url = await page.evaluate(async ({ sources, gap, max }) => {
    const images = await Promise.all(sources.map(async (src) => {
      const image = Object.assign(new Image(), { src });
      await image.decode();
      return image;
    }));
    const [{ width, height }] = images;
    const canvas = Object.assign(document.createElement('canvas'), {
      width: images.length * width + (images.length - 1) * gap, height,
    });
    const ink = canvas.getContext('2d');
    images.forEach((image, i) => {
      ink.save();
      ink.beginPath();
      ink.roundRect(i * (width + gap), 0, width, height, 36);
      ink.clip();
      ink.drawImage(image, i * (width + gap), 0);
      ink.restore();
    });
    for (let quality = 0.92; quality > 0.4; quality -= 0.06) {
      const picture = canvas.toDataURL('image/webp', quality);
      if (picture.length * 0.75 < max) return picture;
    }
    throw new Error('too large at every quality');
  }, { sources, gap: GAP * SCALE, max: BYTES_MAX });
  return Buffer.from(url.split(',')[1], 'base64');
}

const [server, browser] = await Promise.all([startServer(), startBrowser()]);
try {
  const pictures = [];
  for (const moment of MOMENTS) pictures.push(await take(browser, server.url, moment));
  const picture = await compose(browser, pictures);
  await mkdir(path.dirname(FILE), { recursive: true });
  await writeFile(FILE, picture);
  console.log(`${path.relative(process.cwd(), FILE)}: ${picture.length} bytes`);
} finally {
  await browser.close();
  await server.stop();
}
