// SPDX-License-Identifier: Apache-2.0
//! Names of what IP carries (IANA "Protocol Numbers"), as Beyla's settings and attributes spell them.

use vor_model::Value;

/// Name and number. Some numbers of the list are pseudo-protocols of sockets.
const NAMES: [(&str, u8); 28] = [
    ("TCP", 6),
    ("UDP", 17),
    ("IP", 0),
    ("ICMP", 1),
    ("IGMP", 2),
    ("IPIP", 4),
    ("EGP", 8),
    ("PUP", 12),
    ("IDP", 22),
    ("TP", 29),
    ("DCCP", 33),
    ("IPV6", 41),
    ("RSVP", 46),
    ("GRE", 47),
    ("ESP", 50),
    ("AH", 51),
    ("ICMPV6", 58),
    ("MTP", 92),
    ("BEETPH", 94),
    ("ENCAP", 98),
    ("PIM", 103),
    ("COMP", 108),
    ("L2TP", 115),
    ("SCTP", 132),
    ("UDPLITE", 136),
    ("MPLS", 137),
    ("ETHERNET", 143),
    ("RAW", 255),
];

/// The number of the protocol called `name`, in any case.
pub(crate) fn number(name: &str) -> Option<u8> {
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, number)| *number)
}

/// The protocol's name, or its number where it has none.
pub(crate) fn value(number: u8) -> Value {
    let known = NAMES.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| u16::from(number).to_string().into(), |(name, _)| (*name).into())
}

/// All names, for messages.
pub(crate) fn all() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}
