// SPDX-License-Identifier: Apache-2.0

// Links in what probes know of github.com/redis/go-redis.
package main

import (
	"context"

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{})
	pipeline := client.TxPipeline()
	pipeline.Incr(context.Background(), "a")
	_, err := pipeline.Exec(context.Background())
	client.Do(context.Background(), "GET", "a").Result()
	client.Conn().Get(context.Background(), "a").Result()
	println(err, client.Set(context.Background(), "a", 1, 0).Err(), client.Get(context.Background(), "a").Err())
}
