// SPDX-License-Identifier: Apache-2.0

// Links in what probes know of github.com/segmentio/kafka-go.
package main

import (
	"context"

	"github.com/segmentio/kafka-go"
)

func main() {
	writer := &kafka.Writer{Addr: kafka.TCP(""), Topic: "a"}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{""}, Topic: "a", GroupID: "b"})
	message, err := reader.ReadMessage(context.Background())
	println(err, writer.WriteMessages(context.Background(), message))
}
