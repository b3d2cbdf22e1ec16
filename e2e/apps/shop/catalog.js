// SPDX-License-Identifier: Apache-2.0
// Describes items and asks for their stock: `catalog.js PORT STOCK_PORT`.
const http = require('http');

const [port, stock] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true });

http.createServer((request, response) => {
  const item = request.url.split('/').pop();
  http.get({ port: stock, agent, host: '127.0.0.1', path: `/stock/${item}` }, (answer) => {
    response.writeHead(answer.statusCode, { 'Content-Type': 'application/json' });
    answer.pipe(response);
  }).on('error', () => {
    response.writeHead(502);
    response.end();
  });
}).listen(port, '127.0.0.1');
