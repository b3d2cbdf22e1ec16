// SPDX-License-Identifier: Apache-2.0

// A producer and a consumer of Kafka by github.com/IBM/sarama.
//
//	sarama PORT TOPIC COUNT    begins once a line came on standard input
//
// It makes the topic before that. Then it writes COUNT messages, one after the other, and reads them again.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// connect returns a client of a broker, once the topic that it asks for has a leader.
func connect(address, topic string) (sarama.Client, error) {
	config := sarama.NewConfig()
	config.ClientID = "shop"
	config.Producer.Return.Successes = true
	client, err := sarama.NewClient([]string{address}, config)
	for i := 0; err == nil; i++ {
		_, missing := client.Leader(topic, 0)
		if missing == nil {
			break
		}
		if i == 100 {
			return nil, missing
		}
		time.Sleep(100 * time.Millisecond)
	}
	return client, err
}

func work(client sarama.Client, topic string, count int) error {
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return err
	}
	for i := 1; i <= count; i++ {
		message := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(strconv.Itoa(i))}
		if _, _, err := producer.SendMessage(message); err != nil {
			return err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	for i := 1; i <= count; i++ {
		if message := <-partition.Messages(); string(message.Value) != strconv.Itoa(i) {
			return fmt.Errorf("message %d is %q", i, message.Value)
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 4 {
		os.Exit(2)
	}
	topic := os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	var client sarama.Client
	if err == nil {
		client, err = connect("127.0.0.1:"+os.Args[1], topic)
	}
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		err = work(client, topic, count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
