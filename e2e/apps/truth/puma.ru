# SPDX-License-Identifier: Apache-2.0
# Answers /case/N after it has asked /down/N elsewhere; Puma hands each request to one of its threads.
require "net/http"

run lambda { |env|
  n = env["PATH_INFO"].split("/").last
  [200, {}, [Net::HTTP.get(URI("http://127.0.0.1:#{ENV.fetch("DOWN")}/down/#{n}"))]]
}
