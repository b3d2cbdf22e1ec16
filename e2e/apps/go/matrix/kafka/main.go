// SPDX-License-Identifier: Apache-2.0

// A producer and a consumer of Kafka by github.com/segmentio/kafka-go.
//
//	kafka PORT TOPIC COUNT    begins once a line came on standard input
//
// It writes COUNT messages, one after the other, and reads them again.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

func work(address, topic string, count int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	writer := kafka.Writer{Addr: kafka.TCP(address), Topic: topic, BatchSize: 1}
	for i := 1; i <= count; i++ {
		if err := writer.WriteMessages(ctx, kafka.Message{Value: []byte(strconv.Itoa(i))}); err != nil {
			return err
		}
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: topic})
	for i := 1; i <= count; i++ {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			return err
		}
		if string(message.Value) != strconv.Itoa(i) {
			return fmt.Errorf("message %d is %q", i, message.Value)
		}
	}
	return writer.Close()
}

func main() {
	if len(os.Args) != 4 {
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[3])
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		err = work("127.0.0.1:"+os.Args[1], os.Args[2], count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
