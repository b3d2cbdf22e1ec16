// SPDX-License-Identifier: Apache-2.0
// Answers /case/N after it has asked /down/N elsewhere: `server.js PATTERN PORT DOWN`.
const http = require('http');

const [pattern, port, down] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

// The outgoing request.
const call = (n, agent) => new Promise((resolve, reject) => {
  const options = { host: '127.0.0.1', port: down, path: `/down/${n}`, agent };
  http.get(options, (answer) => {
    let body = '';
    answer.on('data', (piece) => { body += piece; });
    answer.on('end', () => resolve(body));
  }).on('error', reject);
});

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

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
};

http.createServer(async (request, response) => {
  const body = await patterns[pattern](request.url.split('/').pop());
  response.end(body);
}).listen(port, '127.0.0.1', 1024);
