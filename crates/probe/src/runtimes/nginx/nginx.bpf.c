// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * nginx: a worker reads and writes many connections in turn; each belongs to one client's connection.
 *
 * All bytes go through a few functions whose first argument is the connection. What that stands for is in its first
 * word: a request (or a session of the module `stream`), which knows its client's connection, for both the client's
 * own and the one to an upstream server. The client's connection is the task: it has one request at a time.
 *
 * In     code of nginx: ngx_unix_recv, ngx_readv_chain, ngx_unix_send, ngx_writev_chain, ngx_linux_sendfile_chain
 * Out    nothing of its own
 * State  vor_running
 * Needs  uprobes with cookies (5.15)
 * Cost   one look at the process per call in nginx; in observed ones three reads of its memory
 */
#include <kernel.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <lib/task.h>
#include <maps/admit.h>

/* How a request and a session begin. */
#define SIGNATURE_HTTP 0x50545448
#define SIGNATURE_STREAM 0x4d525453

struct request {
    __u64 signature; /* its lower half */
    __u64 connection;
};

SEC("uprobe")
int BPF_UPROBE(nginx_io, __u64 connection)
{
    struct admitted *who = admitted();
    struct request request = {};
    __u64 owner = 0;

    if (!who)
        return 0;
    bpf_probe_read_user(&owner, sizeof(owner), (void *)connection);
    /* Between two requests it stands for something else, which need not be readable. */
    bpf_probe_read_user(&request, sizeof(request), (void *)owner);
    if ((__u32)request.signature == SIGNATURE_HTTP || (__u32)request.signature == SIGNATURE_STREAM)
        connection = request.connection;
    tasks_are_set(who, TASK_NGINX);
    task_resumed(who, connection);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
