/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What kernel programs read of the kernel: exactly the fields they use.
 *
 * Structs of the first part are found by name when an object is loaded (CO-RE): order, holes and nesting in
 * unnamed structs do not matter. Those of the second part are user-space ABI and never move.
 */
#pragma once
/* libbpf's headers ask by this name whether pt_regs has the kernel's own field names. */
#define __VMLINUX_H__
#include <lib/wire.h>

typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __s64 loff_t;

struct bpf_map;
struct page;
struct pipe_inode_info;
struct linux_binprm;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Sockets. */

struct in6_addr {
    union {
        __u8 u6_addr8[16];
    } in6_u;
};

struct ns_common {
    unsigned int inum;
};

struct net {
    struct ns_common ns;
};

typedef struct {
    struct net *net;
} possible_net_t;

struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    volatile unsigned char skc_state;
    possible_net_t skc_net;
    unsigned long skc_flags;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
    struct sock_common __sk_common;
    struct socket *sk_socket;
    __u16 sk_type;
    __u16 sk_protocol;
    int sk_sndbuf;
    int sk_wmem_queued;
};

enum sock_flags {
    SOCK_ZEROCOPY,
};

struct inet_connection_sock {
    const void *icsk_ulp_ops;
};

struct inet_sock {
    __be16 inet_sport;
};

struct tcp_sock {
    __u64 bytes_received;
    __u64 bytes_sent;
    __u64 bytes_acked;
    __u64 bytes_retrans;
    __u32 rcv_nxt;
    __u32 copied_seq;
    __u32 snd_una;
    __u32 srtt_us;
    __u32 total_retrans;
    __u32 snd_nxt;
    __u32 write_seq;
};

struct sockaddr_un {
    __u16 sun_family;
    char sun_path[108];
};

struct unix_address {
    int len;
    struct sockaddr_un name[];
};

struct unix_sock {
    struct unix_address *addr;
    struct sock *peer;
};

struct socket {
    struct file *file;
    struct sock *sk;
};

/* User memory on its way into or out of a socket. */

enum iter_type {
    ITER_UBUF, /* since 6.0 (fcb14cb1bdac) */
    ITER_IOVEC,
};

struct iov_iter {
    __u8 iter_type;
    size_t iov_offset;
    const struct iovec *__iov;
    void *ubuf;
};

struct iov_iter___before_6_4 {
    const struct iovec *iov;
};

struct msghdr {
    struct iov_iter msg_iter;
};

/* Tasks and their files. */

struct file {
    unsigned int f_flags;
    void *private_data;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

typedef struct {
    int counter;
} atomic_t;

struct thread_struct {
    unsigned long fsbase; /* x86: the thread pointer */
    struct {
        unsigned long tp_value; /* arm64: the thread pointer */
    } uw;
};

struct signal_struct {
    atomic_t live; /* threads that have not begun to exit */
};

struct task_struct {
    int pid;
    int tgid;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    __u64 start_boottime;
    struct files_struct *files;
    struct signal_struct *signal;
    struct thread_struct thread;
};

/* What iterators are given. */

struct seq_file;

struct bpf_iter_meta {
    struct seq_file *seq;
};

struct bpf_iter__task_file {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
    struct file *file;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long r10, bp, ax, cx, dx, si, di, r8, r9, ip, sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
    __u64 regs[31];
    __u64 sp;
    __u64 pc;
};

struct pt_regs {
    struct user_pt_regs user_regs;
};
#endif

#pragma clang attribute pop

/* System call arguments: include/uapi and include/linux/socket.h. */

struct iovec {
    void *iov_base;
    __u64 iov_len;
};

struct user_msghdr {
    void *msg_name;
    int msg_namelen;
    struct iovec *msg_iov;
    __u64 msg_iovlen;
    void *msg_control;
    __u64 msg_controllen;
    unsigned int msg_flags;
};

struct mmsghdr {
    struct user_msghdr msg_hdr;
    unsigned int msg_len;
};

/* include/uapi/linux/bpf.h */

enum bpf_map_type {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_HASH = 5,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_LRU_HASH = 9,
    BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
    BPF_MAP_TYPE_SOCKHASH = 18,
    BPF_MAP_TYPE_SK_STORAGE = 24,
    BPF_MAP_TYPE_RINGBUF = 27,
    BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
    BPF_ANY = 0,
    BPF_NOEXIST = 1,
    BPF_EXIST = 2,
};

enum {
    BPF_F_NO_PREALLOC = 1,
};

enum {
    BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

enum {
    BPF_RB_NO_WAKEUP = 1,
    BPF_RB_FORCE_WAKEUP = 2,
};

enum {
    BPF_RB_AVAIL_DATA = 0,
};

enum sk_action {
    SK_DROP = 0,
    SK_PASS,
};

/* bpf_sock_ops.op */
enum {
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB = 4,
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB = 5,
    BPF_SOCK_OPS_PARSE_HDR_OPT_CB = 13,
    BPF_SOCK_OPS_HDR_OPT_LEN_CB = 14,
    BPF_SOCK_OPS_WRITE_HDR_OPT_CB = 15,
};

/* bpf_sock_ops.bpf_sock_ops_cb_flags */
enum {
    BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG = 1 << 4,
    BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG = 1 << 5,
    BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG = 1 << 6,
};

/* What programs at events of TCP are given: the first fields of the ABI. */
struct bpf_sock_ops {
    __u32 op;
    __u32 args[4];
    __u32 family;
    __u32 remote_ip4;
    __u32 local_ip4;
    __u32 remote_ip6[4];
    __u32 local_ip6[4];
    __u32 remote_port;
    __u32 local_port;
    __u32 is_fullsock;
    __u32 snd_cwnd;
    __u32 srtt_us;
    __u32 bpf_sock_ops_cb_flags;
    __u32 state;
    __u32 rtt_min;
    __u32 snd_ssthresh;
    __u32 rcv_nxt;
    __u32 snd_nxt;
    __u32 snd_una;
    __u32 mss_cache;
    __u32 ecn_flags;
    __u32 rate_delivered;
    __u32 rate_interval_us;
    __u32 packets_out;
    __u32 retrans_out;
    __u32 total_retrans;
    __u32 segs_in;
    __u32 data_segs_in;
    __u32 segs_out;
    __u32 data_segs_out;
    __u32 lost_out;
    __u32 sacked_out;
    __u32 sk_txhash;
    __u64 bytes_received;
    __u64 bytes_acked;
    __u64 sk __attribute__((aligned(8)));
    __u64 skb_data __attribute__((aligned(8)));
    __u64 skb_data_end __attribute__((aligned(8)));
    __u32 skb_len;
    __u32 skb_tcp_flags;
};

/* What programs that see messages on their way into TCP are given. */
struct sk_msg_md {
    __u64 data __attribute__((aligned(8)));
    __u64 data_end __attribute__((aligned(8)));
    __u32 family;
    __u32 remote_ip4;
    __u32 local_ip4;
    __u32 remote_ip6[4];
    __u32 local_ip6[4];
    __u32 remote_port;
    __u32 local_port;
    __u32 size;
    __u64 sk __attribute__((aligned(8)));
};

/* What programs that see packets are given: the first fields of the ABI. */
struct __sk_buff {
    __u32 len;
    __u32 pkt_type;
    __u32 mark;
    __u32 queue_mapping;
    __u32 protocol; /* network order */
    __u32 vlan_present;
    __u32 vlan_tci;
    __u32 vlan_proto;
    __u32 priority;
    __u32 ingress_ifindex;
    __u32 ifindex;
    __u32 tc_index;
    __u32 cb[5];
    __u32 hash;
    __u32 tc_classid;
    __u32 data;
    __u32 data_end;
    __u32 napi_id;
    __u32 family;
    __u32 remote_ip4;
    __u32 local_ip4;
    __u32 remote_ip6[4];
    __u32 local_ip6[4];
    __u32 remote_port;
    __u32 local_port;
    __u32 data_meta;
    __u64 flow_keys __attribute__((aligned(8)));
    __u64 tstamp;
    __u32 wire_len;
    __u32 gso_segs;
    __u64 sk __attribute__((aligned(8)));
    __u32 gso_size;
};
