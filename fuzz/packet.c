/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of packets as flow programs use it, for fuzz_targets/packet.rs. */
#include <string.h>
#include <pure/packet.h>

/*
 * Reads `len` bytes that begin with a header of `type`, and what a tunnel carries. `bytes` has room for PACKET_WINDOW +
 * PACKET_SLACK. Returns the verdict; -1 when what was read is not in the packet.
 */
int fuzz_packet(const unsigned char *bytes, unsigned int len, unsigned short type)
{
    struct packet outer, inner;
    int verdict, within;

    memset(&outer, 0, sizeof(outer));
    memset(&inner, 0, sizeof(inner));
    verdict = packet_read(bytes, len, 0, type, &outer);
    if (verdict < PACKET_WHOLE || verdict > PACKET_BROKEN || outer.read > PACKET_READ_ALL)
        return -1;
    if (verdict != PACKET_WHOLE || !outer.tunnel)
        return verdict;
    within = packet_read(bytes, len, outer.end, outer.tunnel, &inner);
    if (within < PACKET_WHOLE || within > PACKET_BROKEN)
        return -1;
    /* Inside is behind outside. */
    return within == PACKET_WHOLE && inner.end < outer.end ? -1 : verdict;
}

/* Bytes that `fuzz_packet` may be given, and those that must be readable behind them. */
const unsigned int fuzz_window = PACKET_WINDOW;
const unsigned int fuzz_slack = PACKET_SLACK;
