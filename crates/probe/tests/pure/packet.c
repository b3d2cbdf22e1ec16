/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs bpf/pure/packet.h on the host. Each case on standard input: the ethertype of its first header (u16), the
 * length (u16) and the bytes. One line for each on standard output: verdict, what was read, protocol, ports,
 * fragment, tag, flags, where the headers end, the tunnel, and the verdict and ports of the packet inside.
 */
#include <stdio.h>
#include <string.h>
#include <pure/packet.h>

static int one_case(void)
{
    static __u8 bytes[PACKET_WINDOW + PACKET_SLACK];
    struct packet p = { 0 }, inside = { 0 };
    __u16 type, len;
    int verdict, deeper = -1;

    memset(bytes, 0xa5, sizeof(bytes)); /* as in the kernel, what lies behind the packet is older */
    if (fread(&type, 2, 1, stdin) != 1 || fread(&len, 2, 1, stdin) != 1)
        return 0;
    if (len > PACKET_WINDOW || fread(bytes, 1, len, stdin) != len)
        return 0;
    verdict = packet_read(bytes, len, 0, type, &p);
    if (verdict == PACKET_WHOLE && p.tunnel)
        deeper = packet_read(bytes, len, p.end, p.tunnel, &inside);
    printf("%d %u %u %u %u %u %u %u %u %u %d %u %u\n", verdict, p.read, p.protocol, p.src_port, p.dst_port, p.fragment,
           p.vlan, p.tcp_flags, p.end, p.tunnel, deeper, inside.src_port, inside.dst_port);
    return 1;
}

int main(void)
{
    while (one_case())
        ;
    return 0;
}
