// SPDX-License-Identifier: Apache-2.0
// Answers /case/N after it has asked /down/N elsewhere: `server.js PATTERN PORT DOWN`.
const { AsyncLocalStorage } = require('async_hooks');
const http = require('http');
const net = require('net');
const v8 = require('v8');
const vm = require('vm');

const [pattern, port, down] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
const narrow = new http.Agent({ keepAlive: true, maxSockets: 2 });

// The outgoing request.
const call = (n, agent) => new Promise((resolve, reject) => {
  const options = { host: '127.0.0.1', port: down, path: `/down/${n}`, agent };
  http.get(options, (answer) => {
    let body = '';
    answer.on('data', (piece) => { body += piece; });
    answer.on('end', () => resolve(body));
  }).on('error', reject);
});

const pause = (ms, value) => new Promise((resolve) => { setTimeout(resolve, ms, value); });

// One function for all requests.
const callShared = (n) => call(n, agent);

// A promise that many requests wait for, made by one of them.
let warm;
const warmed = () => {
  warm ??= pause(5).then(() => { warm = undefined; });
  return warm;
};

async function* steps(n) {
  yield pause(1);
  await pause(1);
  yield call(n, false);
}

// One connection for all requests, and a queue that nothing tells Node.js of.
const shared = { waiting: [], busy: null, heard: '', socket: null };
const next = () => {
  if (shared.busy || !shared.waiting.length) return;
  shared.busy = shared.waiting.shift();
  shared.socket.write(`GET /down/${shared.busy.n} HTTP/1.1\r\nHost: down\r\n\r\n`);
};
const ask = (n, done) => {
  shared.socket ??= net.connect(down, '127.0.0.1').on('data', (piece) => {
    shared.heard += piece;
    const head = shared.heard.indexOf('\r\n\r\n');
    const length = /content-length: (\d+)/i.exec(shared.heard);
    if (head < 0 || !length || shared.heard.length < head + 4 + Number(length[1])) return;
    const { done } = shared.busy;
    const body = shared.heard.slice(head + 4);
    shared.busy = null;
    shared.heard = '';
    done(body);
    next();
  });
  shared.waiting.push({ n, done });
  next();
};

const storage = new AsyncLocalStorage();

// Objects move all the time.
const collect = () => {
  v8.setFlagsFromString('--expose-gc');
  const gc = vm.runInNewContext('gc');
  let collections = 0;
  setInterval(() => {
    collections += 1;
    gc({ type: collections % 5 ? 'minor' : 'major' });
  }, 3).unref();
};

const patterns = {
  once: (n) => call(n, false),
  await: async (n) => {
    await pause(1);
    return call(n, false);
  },
  'keep-alive': async (n) => {
    await pause(1);
    return call(n, agent);
  },
  callbacks: (n) => new Promise((resolve, reject) => {
    setTimeout(() => setImmediate(() => call(n, agent).then(resolve, reject)), 1);
  }),
  body: (n, request) => new Promise((resolve, reject) => {
    request.on('end', () => call(n, agent).then(resolve, reject)).resume();
  }),
  then: (n) => pause(1, n).then(callShared),
  all: async (n) => (await Promise.all([pause(1).then(() => call(n, agent)), pause(2)]))[0],
  cached: async (n) => {
    await warmed();
    return call(n, agent);
  },
  iterator: async (n) => {
    let last;
    for await (const step of steps(n)) last = step;
    return last;
  },
  queued: (n) => call(n, narrow),
  fetch: async (n) => {
    await pause(1);
    const answer = await fetch(`http://127.0.0.1:${down}/down/${n}`);
    return answer.text();
  },
  storage: (n) => storage.run({ n }, async () => {
    await pause(1);
    return call(storage.getStore().n, agent);
  }),
  collected: async (n) => {
    await pause(4);
    await pause(4);
    return call(n, agent);
  },
  shared: async (n) => {
    await pause(1);
    return new Promise((resolve) => { ask(n, resolve); });
  },
};

if (pattern === 'collected') collect();
http.createServer(async (request, response) => {
  const body = await patterns[pattern](request.url.split('/').pop(), request);
  response.end(body);
}).listen(port, '127.0.0.1', 1024);
