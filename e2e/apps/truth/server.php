<?php
// SPDX-License-Identifier: Apache-2.0
// Answers /case/N after it has asked /down/N elsewhere.
$n = basename($_SERVER['REQUEST_URI']);
// The other side keeps the connection, so the end of the body is known by its length only.
echo file_get_contents('http://127.0.0.1:' . getenv('DOWN') . "/down/$n", length: 7);
