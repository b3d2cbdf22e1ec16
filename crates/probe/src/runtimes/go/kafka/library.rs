// SPDX-License-Identifier: Apache-2.0
//! What is wanted of a program.

use super::super::library::{Feature, Field, Library, Spot};
use crate::tracers::wire::{GO_SARAMA_IBM, GO_SARAMA_SHOPIFY};

const READER: &str = "github.com/segmentio/kafka-go.reader";
const READER_CONN: &str = "github.com/segmentio/kafka-go.Conn";
const WRITER_CONN: &str = "github.com/segmentio/kafka-go/protocol.Conn";
const IBM: &str = "github.com/IBM/sarama.Broker";
const SHOPIFY: &str = "github.com/Shopify/sarama.Broker";
/// Of versions that have both, the second calls the first.
const SHOPIFY_SEND: &[&str] = &[
    "github.com/Shopify/sarama.(*Broker).sendInternal",
    "github.com/Shopify/sarama.(*Broker).sendWithPromise",
];

/// The library.
pub(in crate::runtimes::go) static LIBRARY: Library = Library {
    connects: true,
    fields: &[
        Field::new(&[READER], &["topic"]),
        Field::new(&[READER], &["partition"]),
        Field::new(&[READER_CONN], &["conn"]),
        Field::new(&[READER_CONN], &["clientID"]),
        Field::new(&[WRITER_CONN], &["conn"]),
        Field::new(&[WRITER_CONN], &["clientID"]),
        Field::new(&[IBM], &["conn"]),
        Field::new(&[SHOPIFY], &["conn"]),
        Field::new(&[IBM], &["addr"]),
        Field::new(&[SHOPIFY], &["addr"]),
    ],
    features: &[
        Feature {
            name: "producers of kafka-go",
            spots: &[
                Spot::called(&["github.com/segmentio/kafka-go.(*Writer).produce"], "go_kafka_put"),
                Spot::returns(
                    &["github.com/segmentio/kafka-go.(*Writer).produce"],
                    "go_kafka_done",
                ),
                Spot::called(
                    &["github.com/segmentio/kafka-go.(*Client).roundTrip"],
                    "go_kafka_ask",
                ),
                Spot::called(
                    &["github.com/segmentio/kafka-go/protocol.(*Conn).RoundTrip"],
                    "go_kafka_conn",
                ),
            ],
            needs: &[WRITER_CONN],
        },
        Feature {
            name: "consumers of kafka-go",
            spots: &[
                Spot::called(&["github.com/segmentio/kafka-go.(*reader).read"], "go_kafka_read"),
                Spot::returns(&["github.com/segmentio/kafka-go.(*reader).read"], "go_kafka_idle"),
                Spot::called(
                    &["github.com/segmentio/kafka-go.(*reader).sendMessage"],
                    "go_kafka_got",
                ),
            ],
            needs: &[READER, READER_CONN],
        },
        Feature {
            name: "sarama of IBM",
            spots: &[
                Spot::called(&["github.com/IBM/sarama.(*Broker).sendInternal"], "go_kafka_send"),
                Spot::returns(&["github.com/IBM/sarama.(*Broker).sendInternal"], "go_kafka_sent"),
                Spot::called(&["github.com/IBM/sarama.(*Broker).write"], "go_kafka_write")
                    .tagged(GO_SARAMA_IBM),
                Spot::called(
                    &["github.com/IBM/sarama.(*responsePromise).handle"],
                    "go_kafka_answer",
                ),
            ],
            needs: &[IBM],
        },
        Feature {
            name: "sarama of Shopify",
            spots: &[
                Spot::called(SHOPIFY_SEND, "go_kafka_send"),
                Spot::returns(SHOPIFY_SEND, "go_kafka_sent"),
                Spot::called(&["github.com/Shopify/sarama.(*Broker).write"], "go_kafka_write")
                    .tagged(GO_SARAMA_SHOPIFY),
                Spot::called(
                    &["github.com/Shopify/sarama.(*responsePromise).handle"],
                    "go_kafka_answer",
                ),
            ],
            needs: &[SHOPIFY],
        },
    ],
};
