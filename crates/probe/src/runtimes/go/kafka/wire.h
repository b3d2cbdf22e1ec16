/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What crosses from the unit go_kafka to user space, and what it must know of a program. */
#pragma once
#include "../wire.h"

#define GO_KAFKA_TOPIC 256
#define GO_KAFKA_CLIENT 64
#define GO_KAFKA_ADDRESS 128
#define GO_KAFKA_REQUEST 512
#define GO_KAFKA_RESPONSE 256

/* Tag of a place: of whose sarama it is. */
#define GO_SARAMA_IBM 0
#define GO_SARAMA_SHOPIFY 1
#define GO_SARAMAS 2

/*
 * Messages that were given to a broker, or taken from it. kafka-go says topic and partition itself; of sarama there
 * are the beginnings of request and answer.
 */
struct go_kafka_record {
    struct go_call call; /* side: GO_PRODUCER or GO_CONSUMER */
    __u32 partition;
    __u16 topic_len;
    __u16 client_len;
    __u16 address_len;
    __u16 request_len;
    __u16 response_len;
    __u8 failed;
    __u8 _pad;
    __u8 topic[GO_KAFKA_TOPIC];
    __u8 client[GO_KAFKA_CLIENT];
    __u8 address[GO_KAFKA_ADDRESS];
    __u8 request[GO_KAFKA_REQUEST];
    __u8 response[GO_KAFKA_RESPONSE];
};

/* Offsets of fields. */
struct go_kafka_facts {
    struct go_net_facts net;
    __u16 reader_topic; /* kafka-go reader */
    __u16 reader_partition;
    __u16 reader_conn; /* kafka-go Conn */
    __u16 reader_client;
    __u16 writer_conn; /* kafka-go protocol.Conn */
    __u16 writer_client;
    __u16 broker_conn[GO_SARAMAS]; /* sarama Broker */
    __u16 broker_address[GO_SARAMAS];
};
