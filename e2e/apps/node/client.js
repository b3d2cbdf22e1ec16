// SPDX-License-Identifier: Apache-2.0
// A client: `client.js PORT COUNT`; begins once a line came on standard input, five requests at a time.
const http = require('http');

const [port, count] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, maxSockets: 5 });

process.stdin.once('data', () => {
  let left = count;
  for (let i = 0; i < count; i++) {
    const options = { port, agent, host: '127.0.0.1', method: 'POST', path: `/node/${i}` };
    http.request(options, (response) => {
      response.resume();
      response.on('end', () => { if (--left === 0) process.exit(0); });
    }).end('question');
  }
});
