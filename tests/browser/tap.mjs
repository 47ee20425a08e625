/**
 * A listener on the wire: passes everything on to the server and remembers what was posted.
 *
 * A browser does not report the beacons of a page that has gone. The wire does.
 */

import http from 'node:http';

export async function startTap(target) {
  const posted = [];
  const tap = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const onward = http.request(new URL(request.url, target), { method: request.method, headers: request.headers }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    onward.once('error', () => response.destroy());
    onward.end(body);
    if (request.method !== 'POST') return;
    const entry = { path: request.url, type: request.headers['content-type'], body: JSON.parse(body), status: null };
    posted.push(entry);
    onward.once('response', (reply) => { entry.status = reply.statusCode; });
  });
  tap.unref(); // a test that fails before it stops the tap must not keep the process
  await new Promise((resolve) => { tap.listen(0, '127.0.0.1', resolve); });
  const stop = () => new Promise((resolve) => { tap.close(resolve); tap.closeAllConnections(); });
  return { url: `http://127.0.0.1:${tap.address().port}`, posted, stop };
}
