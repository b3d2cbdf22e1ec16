// SPDX-License-Identifier: Apache-2.0

// Links in what probes know of github.com/IBM/sarama.
package main

import "github.com/IBM/sarama"

func main() {
	client, err := sarama.NewClient([]string{""}, sarama.NewConfig())
	producer, _ := sarama.NewSyncProducerFromClient(client)
	producer.SendMessage(&sarama.ProducerMessage{Topic: "a"})
	consumer, _ := sarama.NewConsumerFromClient(client)
	partition, _ := consumer.ConsumePartition("a", 0, 0)
	println(err, (<-partition.Messages()).Topic)
}
