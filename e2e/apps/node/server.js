// SPDX-License-Identifier: Apache-2.0
// A server: `server.js PORT`. It reads the body and answers with the number of its bytes.
const http = require('http');

http.createServer((request, response) => {
  let size = 0;
  request.on('data', (piece) => { size += piece.length; });
  request.on('end', () => response.end(`${size}\n`));
}).listen(Number(process.argv[2]), '127.0.0.1');
