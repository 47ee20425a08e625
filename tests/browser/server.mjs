/**
 * A real offerd on free ports with a data folder of its own, and a real Chromium.
 *
 * `OFFERD_BIN` names the program (default: the debug build), `OFFERD_URL` and `OFFERD_ADMIN` the two
 * ports of a server that runs already, `CHROMIUM` the browser (default: Debian's).
 */

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const START_MS_MAX = 30_000;
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Starts offerd and resolves when it has printed where it listens: `{ url, admin, stop }`. */
export async function startServer() {
  const { OFFERD_URL: running, OFFERD_ADMIN: admin } = process.env;
  if (running) return { url: running, admin, stop: async () => {} };
  const program = process.env.OFFERD_BIN ?? path.join(ROOT, 'target/debug/offerd');
  const data = await mkdtemp(path.join(tmpdir(), 'offerd-browser-'));
  const child = spawn(
    path.resolve(program),
    ['serve', '--public', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--data', data],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let printed = '';
  const addresses = await new Promise((resolve, reject) => {
    const fail = (why) => reject(new Error(`${program}: ${why}\n${printed}`));
    const timer = setTimeout(() => { child.kill('SIGKILL'); fail('printed no address in time'); }, START_MS_MAX);
    const read = (chunk) => {
      printed += chunk;
      const url = /(http:\/\/127\.0\.0\.1:[1-9]\d*)\/demo/.exec(printed);
      const operators = /operators\s+(http:\/\/127\.0\.0\.1:[1-9]\d*)\//.exec(printed);
      if (!url || !operators) return;
      clearTimeout(timer);
      resolve({ url: url[1], admin: operators[1] });
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`left with ${code}`));
  });
  const stop = async () => {
    const gone = child.exitCode === null ? new Promise((resolve) => { child.once('exit', resolve); }) : null;
    child.kill('SIGTERM');
    await gone;
    await rm(data, { recursive: true, force: true });
  };
  return { ...addresses, stop };
}

export const startBrowser = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS,
});
