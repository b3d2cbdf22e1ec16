// SPDX-License-Identifier: Apache-2.0
//! Interfaces of one network namespace, as rtnetlink(7) tells them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::tc::{TcHandle, TcMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];
/// What the kernel keeps for us of changes: some hundred interfaces at once.
const BUFFER: usize = 1 << 20;

/// How packets of an interface begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// With an Ethernet header.
    Ethernet,
    /// With an IP header.
    Ip,
    /// With something that is not read.
    Other(u16),
}

impl From<LinkLayerType> for Layer {
    fn from(kind: LinkLayerType) -> Self {
        match kind {
            LinkLayerType::Ether | LinkLayerType::Loopback => Self::Ethernet,
            LinkLayerType::None
            | LinkLayerType::Ppp
            | LinkLayerType::Rawip
            | LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::Ip6gre => Self::Ip,
            other => Self::Other(other.into()),
        }
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) layer: Layer,
}

/// What has happened to an interface.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is there, or is another now.
    Is(Link),
    /// It is gone.
    Gone(u32),
    /// Addresses have come or gone.
    Addresses,
    /// Too much happened at once: only a listing tells.
    Lost,
}

/// Talks to rtnetlink of the namespace that its thread was in when it was opened.
#[derive(Debug)]
pub(super) struct Links {
    asks: Socket,
    hears: Option<Socket>,
}

impl Links {
    /// With `watch`, changes are told.
    pub(super) fn open(watch: bool) -> io::Result<Self> {
        let mut asks = Socket::new(NETLINK_ROUTE)?;
        asks.bind_auto()?;
        let hears = if watch { Some(listen()?) } else { None };
        Ok(Self { asks, hears })
    }

    /// Readable when there are changes.
    pub(super) fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.hears.as_ref().map(AsFd::as_fd)
    }

    /// All interfaces.
    pub(super) fn list(&self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
            if let RouteNetlinkMessage::NewLink(message) = message {
                links.extend(link(&message));
            }
        })?;
        Ok(links)
    }

    /// All addresses.
    pub(super) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
            if let RouteNetlinkMessage::NewAddress(message) = message {
                addresses.extend(address(&message));
            }
        })?;
        Ok(addresses)
    }

    /// Handles of all filters that are attached below `parent` of an interface.
    pub(super) fn filters(&self, index: i32, parent: u32) -> io::Result<Vec<u32>> {
        let mut handles = Vec::new();
        let mut ask = TcMessage::default();
        ask.header.index = index;
        ask.header.parent = TcHandle::from(parent);
        self.dump(RouteNetlinkMessage::GetTrafficFilter(ask), |message| {
            if let RouteNetlinkMessage::NewTrafficFilter(filter) = message {
                handles.push(u32::from(filter.header.handle));
            }
        })?;
        // One message per priority stands for all filters of it, and has no handle.
        handles.retain(|handle| *handle != 0);
        Ok(handles)
    }

    fn dump(
        &self,
        ask: RouteNetlinkMessage,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let mut message = NetlinkMessage::from(ask);
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.asks.send(&bytes, 0)?;
        loop {
            let (answer, _) = self.asks.recv_from_full()?;
            for message in messages(&answer) {
                match message?.payload {
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// What has changed since the last call.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some(hears) = &self.hears else { return changes };
        loop {
            match hears.recv_from_full() {
                Ok((bytes, _)) => changes.extend(messages(&bytes).flatten().filter_map(change)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return changes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // ENOBUFS: the kernel could not keep all.
                Err(_) => {
                    changes.push(Change::Lost);
                    return changes;
                }
            }
        }
    }
}

fn listen() -> io::Result<Socket> {
    let mut hears = Socket::new(NETLINK_ROUTE)?;
    hears.set_non_blocking(true)?;
    hears.bind_auto()?;
    hears.set_rx_buf_sz(BUFFER)?;
    for group in GROUPS {
        hears.add_membership(group)?;
    }
    Ok(hears)
}

/// The messages of one datagram.
fn messages(
    mut bytes: &[u8],
) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    std::iter::from_fn(move || {
        // nlmsghdr.nlmsg_len, and the next message at a multiple of four.
        let len = bytes.first_chunk().map(|len| u32::from_ne_bytes(*len))?;
        let len = usize::try_from(len).ok().filter(|len| *len >= 16)?;
        let message = bytes.get(..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(NetlinkMessage::deserialize(message).map_err(io::Error::other))
    })
}

fn change(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Change> {
    match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
            link(&message).map(Change::Is)
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
            Some(Change::Gone(message.header.index))
        }
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_),
        ) => Some(Change::Addresses),
        NetlinkPayload::Overrun(_) => Some(Change::Lost),
        _ => None,
    }
}

/// The near end of a point-to-point link has its address in another attribute.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let mut far = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(near) => return Some(*near),
            AddressAttribute::Address(address) => far = Some(*address),
            _ => {}
        }
    }
    far
}

fn link(message: &LinkMessage) -> Option<Link> {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    Some(Link {
        index: message.header.index,
        name,
        up: message.header.flags.contains(LinkFlags::Up),
        layer: message.header.link_layer_type.into(),
    })
}
