// SPDX-License-Identifier: Apache-2.0

// A client of Redis by github.com/redis/go-redis.
//
//	redis PORT COUNT    begins once a line came on standard input
//
// It writes and reads COUNT keys, sends one pipeline of two commands, and one command that fails.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/redis/go-redis/v9"
)

func work(client *redis.Client, count int) error {
	ctx := context.Background()
	for i := 1; i <= count; i++ {
		key := fmt.Sprintf("item:%d", i)
		if err := client.Set(ctx, key, i, 0).Err(); err != nil {
			return err
		}
		if err := client.Get(ctx, key).Err(); err != nil {
			return err
		}
	}
	pipeline := client.Pipeline()
	pipeline.Incr(ctx, "visits")
	pipeline.Incr(ctx, "visits")
	if _, err := pipeline.Exec(ctx); err != nil {
		return err
	}
	if err := client.LPush(ctx, "item:1", "more").Err(); err == nil {
		return fmt.Errorf("a text is no list")
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[2])
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		// Redis before 7.2 refuses to be told who its client is.
		options := redis.Options{Addr: "127.0.0.1:" + os.Args[1], DisableIdentity: true}
		client := redis.NewClient(&options)
		err = work(client, count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
