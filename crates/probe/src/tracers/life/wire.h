/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the unit `life` tells user space. */
#pragma once
#include <lib/wire.h>

/* life_record.kind */
#define LIFE_FORK 1
#define LIFE_EXEC 2
#define LIFE_EXIT 3
#define LIFE_LISTEN 4

struct life_record {
    __u64 started_ns; /* boot clock */
    __u32 pid;
    __u32 parent; /* LIFE_FORK */
    __u16 kind;
    __u16 port; /* LIFE_LISTEN, host order */
    __u8 _pad[4];
    __u8 program[16]; /* LIFE_EXEC: name of its file, cut to 15 bytes; ends with NUL */
};
