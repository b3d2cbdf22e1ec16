// SPDX-License-Identifier: Apache-2.0
//! `bpf/pure` built for the host: header blocks of HTTP/2 that bring the name `traceparent` are known from others.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod host;

/// Whether each block is understood to its end, whether it brings the name, and the field that is added.
fn run(blocks: &[Vec<u8>]) -> (Vec<(bool, bool)>, Vec<u8>) {
    let mut input = Vec::new();
    for block in blocks {
        input.extend(u16::try_from(block.len()).unwrap().to_ne_bytes());
        input.extend(block);
    }
    let said = host::say("hpack", input);
    let lines: Vec<_> = said.lines().collect();
    let (field, lines) = lines.split_last().unwrap();
    assert_eq!(lines.len(), blocks.len());
    let read = |line: &&str| (line.starts_with('1'), line.ends_with('1'));
    (lines.iter().map(read).collect(), bytes(field))
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// Blocks of RFC 7541, appendix C, with and without Huffman's code, and what encoders write else.
const OTHERS: [&str; 8] = [
    "400a 637573746f6d2d6b6579 0d 637573746f6d2d686561646572",
    "040c 2f73616d706c652f70617468",
    "1008 70617373776f7264 06 736563726574",
    "8286 84 410f 7777772e6578616d706c652e636f6d",
    "8286 84be 5808 6e6f2d6361636865",
    "8287 85bf 4088 25a849e95ba97d7f 8925a849e95bb8e8b4bf",
    // The table's size; an index, and a length, that take more than a byte.
    "3fe11f 82 ff01",
    "000b 7472616365737461746573 00",
];

/// The name as it is and in Huffman's code, to be kept in the table, not to be, and never.
const OWN: [&str; 4] = [
    "82 400b 7472616365706172656e74 01 78",
    "82 4088 4d83216b1d85a93f 01 78 84",
    "000b 7472616365706172656e74 01 78",
    "1088 4d83216b1d85a93f 01 78",
];

#[test]
fn only_blocks_that_bring_the_name_are_found() {
    let long = |len: u8| {
        [&bytes("0001 61 7f")[..], &[len, 1], &vec![b'x'; 255 + usize::from(len & 0x7f)]].concat()
    };
    let mut blocks: Vec<_> = OTHERS.iter().chain(&OWN).map(|block| bytes(block)).collect();
    blocks.push(long(0x80));
    blocks.push(long(0x81));
    let (seen, _) = run(&blocks);
    for (at, (good, own)) in seen.into_iter().enumerate() {
        assert!(good, "block {at}");
        assert_eq!(own, (OTHERS.len()..OTHERS.len() + OWN.len()).contains(&at), "block {at}");
    }
}

#[test]
fn a_block_that_is_cut_within_a_field_is_not_understood() {
    let block = bytes("82 400b 7472616365706172656e74 01 78 84 0f01 02 7879");
    let whole = [0, 1, 16, 17, block.len()];
    let cuts: Vec<_> = (0..=block.len()).map(|len| block[..len].to_vec()).collect();
    for (len, (good, _)) in run(&cuts).0.into_iter().enumerate() {
        assert_eq!(good, whole.contains(&len), "{len} bytes");
    }
}

#[test]
fn the_field_that_is_added_brings_the_name_and_the_place() {
    let (_, field) = run(&[]);
    assert_eq!(run(&[[bytes("8286"), field.clone()].concat()]).0, [(true, true)]);
    let value = "00-02010000000000000403000000000000-0605000000000000-01";
    assert_eq!(field, [b"\x00\x0btraceparent\x37", value.as_bytes()].concat());
}
