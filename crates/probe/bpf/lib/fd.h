/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* From a file descriptor of the current task to its socket. */
#pragma once
#include <kernel.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* The socket behind a descriptor of the current task; NULL when it is not a socket. */
static __always_inline struct sock *fd_sock(__u64 fd)
{
    struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
    struct socket *socket = NULL;
    struct file **files, *file = NULL;

    if (!table || fd >= table->max_fds)
        return NULL;
    files = table->fd;
    bpf_probe_read_kernel(&file, sizeof(file), files + fd);
    if (!file)
        return NULL;
    socket = BPF_CORE_READ(file, private_data);
    /* Only a socket points back to its file. */
    if (!socket || BPF_CORE_READ(socket, file) != file)
        return NULL;
    return BPF_CORE_READ(socket, sk);
}
