// SPDX-License-Identifier: Apache-2.0
//! `struct go_kafka_record` → [`Captured::Operation`].

use vor_model::{Captured, Done};
use vor_protocol::http::Authority;
use vor_protocol::messaging::{Messages, Work};
use zerocopy::FromBytes;

use super::super::call::{origin, text};
use super::request::{self, Subject};
use crate::tracers::DecodeError;
use crate::tracers::wire::{GO_CONSUMER, GO_PRODUCER, GoKafkaRecord};

pub(super) fn decode(bytes: &[u8]) -> Result<Captured, DecodeError> {
    let (record, _) = GoKafkaRecord::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { len: bytes.len(), expected: "go_kafka_record" })?;
    let work = match u32::from(record.call.side) {
        GO_PRODUCER => Work::Send,
        GO_CONSUMER => Work::Poll,
        side => return Err(DecodeError::Value { field: "go_call.side", value: side.into() }),
    };
    let subject = subject(&record)?;
    let printed = |text: &str| text.chars().all(|c| !c.is_control());
    if !request::is_topic(&subject.topic) || !printed(&subject.client) {
        return Err(DecodeError::Text { field: "go_kafka_record.topic" });
    }
    let messages = Messages {
        system: "kafka",
        work,
        destination: subject.topic.as_str().into(),
        partition: subject.partition,
        client: subject.client.as_str().into(),
        failed: record.failed != 0
            || request::failed(work, subject.version, text(&record.response, record.response_len)),
        server: Authority::read(text(&record.address, record.address_len)),
    };
    let origin = origin(&record.call)?;
    let done = Done { time: origin.time, operation: messages.operation() };
    Ok(Captured::Operation(origin, Box::new(done)))
}

/// What the library says itself, or its request.
fn subject(record: &GoKafkaRecord) -> Result<Subject, DecodeError> {
    let request = text(&record.request, record.request_len);
    if !request.is_empty() {
        return request::read(request)
            .map_err(|_| DecodeError::Text { field: "go_kafka_record.request" });
    }
    let string = |field, len| String::from_utf8_lossy(text(field, len)).into_owned();
    Ok(Subject {
        version: 0,
        topic: string(&record.topic, record.topic_len),
        partition: Some(record.partition),
        client: string(&record.client, record.client_len),
    })
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn record(change: impl FnOnce(&mut GoKafkaRecord)) -> GoKafkaRecord {
        let mut record = GoKafkaRecord::new_zeroed();
        record.call.side = u8::try_from(GO_CONSUMER).unwrap();
        record.topic[..6].copy_from_slice(b"orders");
        record.topic_len = 6;
        record.partition = 3;
        change(&mut record);
        record
    }

    #[test]
    fn what_the_library_says_needs_no_request() {
        let Ok(Captured::Operation(_, done)) = decode(record(|_| ()).as_bytes()) else { panic!() };
        assert_eq!(&*done.operation.name, "poll orders");
    }

    #[test]
    fn values_that_wrong_offsets_would_give_are_refused() {
        let changes: [fn(&mut GoKafkaRecord); 4] = [
            |record| record.topic_len = 0,
            |record| record.topic[2] = b'/',
            |record| record.call.side = 0,
            |record| record.request_len = 7,
        ];
        for change in changes {
            assert!(decode(record(change).as_bytes()).is_err());
        }
        assert!(matches!(decode(&[0; 8]), Err(DecodeError::Short { len: 8, .. })));
    }
}
