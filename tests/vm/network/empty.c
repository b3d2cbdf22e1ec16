// SPDX-License-Identifier: Apache-2.0
/*
 * `empty OBJECT tc|socket_filter IFACE`: attaches the empty program to what leaves an interface, prints `attached`, and
 * keeps it until it is killed.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int attach_tc(struct bpf_object *object, int index)
{
    int program = bpf_program__fd(bpf_object__find_program_by_name(object, "empty_tc"));
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = index, .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = 1, .priority = 1);

    return bpf_tc_hook_create(&hook) ?: bpf_tc_attach(&hook, &options);
}

static int attach_socket(struct bpf_object *object, int index)
{
    int program = bpf_program__fd(bpf_object__find_program_by_name(object, "empty_socket"));
    struct sockaddr_ll place = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index };
    int fd = socket(AF_PACKET, SOCK_RAW, 0);

    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)))
        return -1;
    return bind(fd, (void *)&place, sizeof(place));
}

int main(int argc, char **argv)
{
    struct bpf_object *object;
    int index, failed;

    if (argc != 4)
        return 1;
    object = bpf_object__open_file(argv[1], NULL);
    index = if_nametoindex(argv[3]);
    if (!object || bpf_object__load(object) || !index)
        return 1;
    failed = strcmp(argv[2], "tc") ? attach_socket(object, index) : attach_tc(object, index);
    if (failed)
        return 1;
    printf("attached\n");
    fflush(stdout);
    pause();
    return 0;
}
