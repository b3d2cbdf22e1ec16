// SPDX-License-Identifier: Apache-2.0

// A producer and a consumer of Kafka by github.com/segmentio/kafka-go.
//
//	kafka PORT TOPIC COUNT    begins once a line came on standard input
//
// It makes the topic before that. Then it writes COUNT messages, one after the other, and reads them again.
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

// create makes the topic, and returns when it has a leader.
func create(address, topic string) error {
	ctx := context.Background()
	client := kafka.Client{Addr: kafka.TCP(address)}
	wanted := kafka.TopicConfig{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{wanted}})
	if err == nil {
		err = made.Errors[topic]
	}
	for i := 0; err == nil && i < 100; i++ {
		known, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err != nil {
			return err
		}
		about := known.Topics[0]
		if about.Error == nil && len(about.Partitions) == 1 && about.Partitions[0].Error == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func work(address, topic string, count int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	writer := kafka.Writer{Addr: kafka.TCP(address), Topic: topic, BatchSize: 1, RequiredAcks: kafka.RequireAll}
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
	address, topic := "127.0.0.1:"+os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = create(address, topic)
	}
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		err = work(address, topic, count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
