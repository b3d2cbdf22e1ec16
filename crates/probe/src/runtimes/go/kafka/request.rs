// SPDX-License-Identifier: Apache-2.0
//! The beginnings of a request to Kafka that produces or fetches, and of its answer, as far as sarama writes and
//! reads them: requests up to produce version 10 and fetch version 12 (kafka.apache.org/protocol).
//!
//! What is cut ends the reading where it is cut; only a request's first topic and partition are told.

use vor_protocol::Unreadable;
use vor_protocol::cursor::Cursor;
use vor_protocol::messaging::Work;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
/// The versions from which lengths are of variable size and fields may be tagged.
const FLEXIBLE: [i16; 2] = [9, 12];
/// Most letters of a topic (`Topic.java`).
const TOPIC_MAX: usize = 249;

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) version: i16,
    pub(super) topic: String,
    pub(super) partition: Option<u32>,
    pub(super) client: String,
}

/// Whether a topic can be called so.
pub(super) fn is_topic(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=TOPIC_MAX).contains(&name.len()) && name.chars().all(letter)
}

/// Bytes in the order of the network, with lengths of one kind or the other.
struct Reader<'a> {
    bytes: Cursor<'a>,
    flexible: bool,
}

impl Reader<'_> {
    fn int<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Unreadable> {
        self.bytes.take(N, what)?.try_into().map_err(|_| Unreadable::Cut(what))
    }

    fn i16(&mut self, what: &'static str) -> Result<i16, Unreadable> {
        self.int(what).map(i16::from_be_bytes)
    }

    fn i32(&mut self, what: &'static str) -> Result<i32, Unreadable> {
        self.int(what).map(i32::from_be_bytes)
    }

    fn pass(&mut self, len: usize, what: &'static str) -> Result<(), Unreadable> {
        self.bytes.take(len, what).map(|_| ())
    }

    /// A number of seven bits per byte, the lowest first.
    fn varint(&mut self, what: &'static str) -> Result<u32, Unreadable> {
        let mut number = 0;
        for shift in (0..28).step_by(7) {
            let [byte] = self.int(what)?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unreadable::Malformed(what))
    }

    /// A string, empty where there is none.
    fn string(&mut self, what: &'static str) -> Result<String, Unreadable> {
        let len = if self.flexible {
            self.varint(what)?.saturating_sub(1)
        } else {
            u32::try_from(self.i16(what)?).unwrap_or_default()
        };
        let len = usize::try_from(len).map_err(|_| Unreadable::Malformed(what))?;
        self.bytes.take(len, what).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// How many items follow.
    fn count(&mut self, what: &'static str) -> Result<u32, Unreadable> {
        if self.flexible {
            Ok(self.varint(what)?.saturating_sub(1))
        } else {
            Ok(u32::try_from(self.i32(what)?).unwrap_or_default())
        }
    }

    /// The first topic of a list, and its first partition's number.
    fn first(&mut self) -> Result<(String, Option<u32>), Unreadable> {
        if self.count("topics")? == 0 {
            return Err(Unreadable::Malformed("no topic"));
        }
        let topic = self.string("topic")?;
        let partitions = self.count("partitions").unwrap_or_default();
        let partition = if partitions == 0 { None } else { self.i32("partition").ok() };
        Ok((topic, partition.and_then(|number| u32::try_from(number).ok())))
    }
}

/// Reads a request with the length in front of it.
pub(super) fn read(bytes: &[u8]) -> Result<Subject, Unreadable> {
    let mut reader = Reader { bytes: Cursor::new(bytes), flexible: false };
    reader.pass(4, "length")?;
    let api = reader.i16("api_key")?;
    let version = reader.i16("api_version")?;
    reader.pass(4, "correlation_id")?;
    let client = reader.string("client_id")?;
    reader.flexible = is_flexible(api, version)?;
    if reader.flexible && reader.varint("tagged fields")? != 0 {
        return Err(Unreadable::Malformed("tagged fields of the header"));
    }
    if api == PRODUCE {
        if version >= 3 {
            reader.string("transactional_id")?;
        }
        reader.pass(6, "acks and timeout")?;
    } else {
        reader.pass(12, "replica, time and bytes")?;
        reader.pass(if version >= 3 { 4 } else { 0 }, "max_bytes")?;
        reader.pass(usize::from(version >= 4), "isolation_level")?;
        reader.pass(if version >= 7 { 8 } else { 0 }, "session")?;
    }
    let (topic, partition) = reader.first()?;
    Ok(Subject { version, topic, partition, client })
}

fn is_flexible(api: i16, version: i16) -> Result<bool, Unreadable> {
    let from = match api {
        PRODUCE => FLEXIBLE[0],
        FETCH => FLEXIBLE[1],
        _ => return Err(Unreadable::Malformed("api_key")),
    };
    Ok(version >= from)
}

/// Whether an answer says that the first partition's messages were not taken, or could not be had. The answer is
/// what follows its header.
pub(super) fn failed(work: Work, version: i16, answer: &[u8]) -> bool {
    code(work, version, answer).is_ok_and(|code| code != 0)
}

fn code(work: Work, version: i16, answer: &[u8]) -> Result<i16, Unreadable> {
    let api = if work == Work::Send { PRODUCE } else { FETCH };
    let flexible = is_flexible(api, version)?;
    let mut reader = Reader { bytes: Cursor::new(answer), flexible };
    if work == Work::Poll {
        reader.pass(if version >= 1 { 4 } else { 0 }, "throttle_time")?;
        if version >= 7 {
            let code = reader.i16("error_code")?;
            if code != 0 {
                return Ok(code);
            }
            reader.pass(4, "session_id")?;
        }
    }
    reader.first()?;
    reader.i16("error_code")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Produce, version 3, client `shop`, topic `orders`, partition 2.
    const REQUEST: &[u8] = b"\0\0\0\x40\0\0\0\x03\0\0\0\x07\0\x04shop\xff\xff\xff\xff\0\0\x27\x10\
        \0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x02";
    /// Fetch, version 12, client `shop`, topic `orders`, partition 0.
    const FLEXIBLE_FETCH: &[u8] = b"\0\0\0\x40\0\x01\0\x0c\0\0\0\x07\0\x04shop\0\xff\xff\xff\xff\
        \0\0\x01\xf4\0\0\0\x01\0\x10\0\0\0\0\0\0\0\xff\xff\xff\xff\x02\x07orders\x02\0\0\0\0";

    #[test]
    fn topic_partition_and_client_are_read() {
        let about = |version, partition| Subject {
            version,
            topic: "orders".into(),
            partition: Some(partition),
            client: "shop".into(),
        };
        assert_eq!(read(REQUEST), Ok(about(3, 2)));
        assert_eq!(read(FLEXIBLE_FETCH), Ok(about(12, 0)));
    }

    #[test]
    fn a_request_that_is_cut_before_its_topic_is_none() {
        for request in [REQUEST, FLEXIBLE_FETCH] {
            let end = request.windows(6).position(|at| at == b"orders").unwrap() + 6;
            for cut in 0..end {
                assert!(read(&request[..cut]).is_err(), "{cut}");
            }
            assert!(read(&request[..end]).unwrap().partition.is_none());
        }
    }

    #[test]
    fn an_answer_may_say_that_it_failed() {
        let answer = |code: u8| {
            let mut answer = b"\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x02\0".to_vec();
            answer.push(code);
            answer
        };
        assert!(!failed(Work::Send, 3, &answer(0)) && failed(Work::Send, 3, &answer(3)));
        let fetched = |code: u8| [b"\0\0\0\0".as_slice(), &answer(code)].concat();
        assert!(!failed(Work::Poll, 4, &fetched(0)) && failed(Work::Poll, 4, &fetched(1)));
        assert!(!failed(Work::Poll, 4, b"\0\0"), "what is cut says nothing");
    }

    #[test]
    fn topics_have_the_letters_that_kafka_allows() {
        assert!(is_topic("shop.orders-v1_x"));
        for name in ["", "a b", "a/b", "\u{e9}", &"x".repeat(250)] {
            assert!(!is_topic(name), "{name}");
        }
    }
}
