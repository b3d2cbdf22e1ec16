// SPDX-License-Identifier: Apache-2.0
//! What every protocol must stand, whoever wrote it. Walks [`ALL`] and all goldens; names no protocol.
//!
//! A folder's talks are its protocol's own, but for `refused.talk`, which shows what it must leave to others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests are tests too"
)]

#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod talk;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use talk::{Talk, goldens, hear, load, read, single};
use vor_model::{Ending, Exchange, Side, Value};
use vor_protocol::claim::claim;
use vor_protocol::{ALL, Claim, Protocol, Unreadable};

const SIDES: [Side; 2] = [Side::Server, Side::Client];

/// Every connection of the goldens, with the folder it is from.
fn own() -> Vec<(String, Talk)> {
    let files = goldens().into_iter().filter(|(_, path)| !path.ends_with("refused.talk"));
    files
        .flat_map(|(unit, path)| load(&path).into_iter().map(move |it| (unit.clone(), it)))
        .collect()
}

/// The protocol of each folder: the one that claims its first talk.
fn owners() -> BTreeMap<String, &'static str> {
    let mut owners = BTreeMap::new();
    for (unit, talk) in own() {
        let name = claim(ALL, &talk.exchanges[0], None).map(|it| it.protocol.info().name);
        owners.entry(unit).or_insert(name.unwrap());
    }
    owners
}

#[test]
fn every_protocol_has_goldens_and_a_name_of_its_own() {
    let mut named: Vec<_> = ALL.iter().map(|it| it.info().name).collect();
    named.sort_unstable();
    let mut owned: Vec<_> = owners().into_values().collect();
    owned.sort_unstable();
    assert_eq!(named, owned);
}

#[test]
fn its_own_talks_are_claimed_by_it_and_by_nobody_else() {
    let owners = owners();
    for (unit, talk) in own() {
        let first = &talk.exchanges[0];
        for protocol in ALL {
            let own = protocol.info().name == owners[&unit];
            assert_eq!(own, protocol.claim(first) > Claim::No, "{unit}: {first:?}");
        }
    }
    for (unit, path) in goldens().iter().filter(|(_, path)| path.ends_with("refused.talk")) {
        for talk in load(path) {
            let found = claim(ALL, &talk.exchanges[0], None).map(|it| it.protocol.info().name);
            assert_ne!(found, Some(owners[unit]), "{talk:?}");
        }
    }
}

#[test]
fn the_other_way_round_it_is_recognised_as_such() {
    for (unit, talk) in own().into_iter().filter(|(_, talk)| !talk.midway) {
        let turned = turn(&talk.exchanges[0]);
        let found = claim(ALL, &turned, None).unwrap_or_else(|| panic!("{unit}: {turned:?}"));
        assert!(found.swapped, "{unit}: {turned:?}");
        let given =
            read(found.protocol, &Talk { midway: false, exchanges: vec![turned] }, Side::Server);
        assert_eq!(given.iter().map(|step| step.done.len()).sum::<usize>(), 0, "{unit}");
    }
}

#[test]
fn cut_at_any_byte_it_neither_panics_nor_says_more() {
    for (unit, talk) in own() {
        // One that could not be read whole may be given up with less said about it.
        let most = operations(&talk).max(talk.exchanges.len());
        for (number, exchange) in talk.exchanges.iter().enumerate() {
            for cut in 0..exchange.request.len() + exchange.response.len() {
                let mut cut_talk = talk.clone();
                cut_talk.exchanges[number] = cut_at(exchange, cut);
                assert!(operations(&cut_talk) <= most, "{unit}: {cut_talk:?}");
            }
        }
    }
}

#[test]
fn exchanges_that_are_glued_give_all_operations_or_a_stated_refusal() {
    for (unit, talk) in own().into_iter().filter(|(_, talk)| talk.exchanges.len() == 1) {
        let once = hear(&talk, Side::Server);
        let captured = |it: &Exchange| u64::try_from(it.request.len()) == Ok(it.request_len);
        let clean = once.steps.iter().all(|step| step.result == Ok(vor_protocol::Next::Same));
        let answered = talk.exchanges[0].ending == Ending::Answered;
        if !clean || !answered || !talk.exchanges.iter().all(captured) || talk.midway {
            continue;
        }
        let exchange = &talk.exchanges[0];
        let double = |bytes: &Bytes| Bytes::from([&bytes[..], bytes].concat());
        let glued = Talk {
            midway: false,
            exchanges: vec![Exchange {
                request: double(&exchange.request),
                request_len: exchange.request_len * 2,
                response: double(&exchange.response),
                response_len: exchange.response_len * 2,
                ..exchange.clone()
            }],
        };
        let twice = hear(&glued, Side::Server);
        let refused = twice.steps.iter().any(|step| step.result.is_err());
        assert!(refused || operations(&glued) == 2 * operations(&talk), "{unit}: {glued:?}");
    }
}

#[test]
fn noise_is_refused_in_bounded_time() {
    let mut seed = 1_u32;
    let mut noise = |len: usize| -> Bytes {
        std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .take(len)
        .collect()
    };
    for protocol in ALL {
        let began = Instant::now();
        for _ in 0..16 {
            let talk = single(noise(65_536), noise(65_536));
            assert_eq!(protocol.claim(&talk.exchanges[0]), Claim::No);
            let steps = read(*protocol, &talk, Side::Server);
            assert!(steps[0].done.is_empty() && steps[0].result.is_err(), "{steps:?}");
        }
        // Of bytes that keep a protocol waiting for more.
        for byte in 0..=u8::MAX {
            let same = Bytes::from(vec![byte; 65_536]);
            read(*protocol, &single(same.clone(), same), Side::Server);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn requests_that_are_never_answered_are_bounded() {
    for (unit, talk) in own() {
        let Some(protocol) = owner(&talk) else { continue };
        let question =
            Exchange { response: Bytes::new(), response_len: 0, ..talk.exchanges[0].clone() };
        let asked = Talk { midway: talk.midway, exchanges: vec![question; 2_000] };
        let steps = read(protocol, &asked, Side::Client);
        let stated = |it: &talk::Step| {
            matches!(
                it.result,
                Err(Unreadable::TooMany(_) | Unreadable::Malformed(_) | Unreadable::Cut(_))
            )
        };
        let closed = steps.last().unwrap().done.len();
        assert!(closed < 1_000 || steps.iter().any(stated), "{unit}: {closed}");
    }
}

#[test]
fn what_it_says_is_declared_and_well_formed() {
    for (unit, talk) in own() {
        for side in SIDES {
            let heard = hear(&talk, side);
            let Some(owner) = owner(&talk) else { panic!("{unit}: {talk:?}") };
            for done in heard.steps.iter().flat_map(|step| &step.done) {
                let operation = &done.operation;
                assert_eq!(operation.protocol, owner.info().name);
                assert!(done.time.start <= done.time.end);
                for family in operation.families {
                    let listed = owner.info().families.iter().any(|it| std::ptr::eq(*it, *family));
                    assert!(listed, "{unit}: {} is not listed", family.name);
                }
                assert!(operation.name.len() <= 64 && !operation.name.contains(char::is_control));
                for (key, value) in operation.attrs.iter() {
                    let name = key.as_str();
                    let plain =
                        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
                    assert!(name.contains('.') && name.chars().all(plain), "{unit}: {name}");
                    assert_ne!(value, &Value::Word(""), "{unit}: {name}");
                }
            }
        }
    }
}

fn owner(talk: &Talk) -> Option<&'static dyn Protocol> {
    claim(ALL, &talk.exchanges[0], None).map(|it| it.protocol)
}

fn operations(talk: &Talk) -> usize {
    hear(talk, Side::Server).steps.iter().map(|step| step.done.len()).sum()
}

fn turn(exchange: &Exchange) -> Exchange {
    Exchange {
        request: exchange.response.clone(),
        request_len: exchange.response_len,
        response: exchange.request.clone(),
        response_len: exchange.request_len,
        ..exchange.clone()
    }
}

/// The first `cut` bytes of request and answer were captured, but all of them passed.
fn cut_at(exchange: &Exchange, cut: usize) -> Exchange {
    let asked = cut.min(exchange.request.len());
    Exchange {
        request: exchange.request.slice(..asked),
        response: exchange.response.slice(..cut - asked),
        ..exchange.clone()
    }
}

/// Runs of bytes: pieces of goldens, glued and changed, or noise.
fn run() -> impl Strategy<Value = Bytes> {
    let pieces: Vec<Bytes> = own()
        .into_iter()
        .flat_map(|(_, talk)| talk.exchanges)
        .flat_map(|it| [it.request, it.response])
        .filter(|bytes| !bytes.is_empty())
        .collect();
    let piece = (proptest::sample::select(pieces), any::<(prop::sample::Index, u8, bool)>())
        .prop_map(|(bytes, (at, byte, cut))| {
            let at = at.index(bytes.len());
            if cut {
                return bytes.slice(..at);
            }
            let mut changed = bytes.to_vec();
            changed[at] = byte;
            changed.into()
        });
    let noise = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    prop::collection::vec(prop_oneof![4 => piece, 1 => noise], 0..4)
        .prop_map(|pieces| pieces.concat().into())
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let ending = prop_oneof![
        4 => Just(Ending::Answered),
        1 => Just(Ending::TimedOut),
        1 => Just(Ending::Closed),
    ];
    let unseen = || prop_oneof![3 => Just(0), 1 => 0..5_000_u64, 1 => any::<u64>()];
    (run(), run(), unseen(), unseen(), ending).prop_map(
        |(request, response, asked, answered, ending)| {
            let talk = single(request, response);
            let whole = talk.exchanges.into_iter().next().unwrap();
            Exchange {
                request_len: whole.request_len.saturating_add(asked),
                response_len: whole.response_len.saturating_add(answered),
                ending,
                ..whole
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_read_or_refused_and_operations_are_bounded(
        exchanges in prop::collection::vec(exchange(), 1..6),
        midway: bool,
    ) {
        let bytes: usize = exchanges.iter().map(|it| it.request.len() + it.response.len()).sum();
        let talk = Talk { midway, exchanges };
        for (protocol, side) in ALL.iter().flat_map(|it| SIDES.map(|side| (it, side))) {
            let steps = read(*protocol, &talk, side);
            let done: usize = steps.iter().map(|step| step.done.len()).sum();
            prop_assert!(done <= bytes);
            for done in steps.iter().flat_map(|step| &step.done) {
                prop_assert!(done.time.start <= done.time.end);
            }
        }
    }

    #[test]
    fn claims_are_pure_and_only_sure_of_what_can_be_read(exchange in exchange()) {
        for protocol in ALL {
            prop_assert_eq!(protocol.claim(&exchange), protocol.claim(&exchange));
        }
        if let Some(found) = claim(ALL, &exchange, Some(80)) {
            let straight = if found.swapped { turn(&exchange) } else { exchange };
            prop_assert!(found.protocol.claim(&straight) > Claim::No);
        }
    }
}
