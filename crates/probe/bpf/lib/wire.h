/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The types that cross between kernel and user space; kernel programs, the host's C compiler and bindgen
 * all read them. The same definitions as asm-generic/int-ll64.h, which may be included beside these.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
