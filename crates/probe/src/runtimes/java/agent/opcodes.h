/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of the JVM that are written, or looked for (JVM specification, chapter 6.5). */
#pragma once

#define OP_NOP 0x00
#define OP_ACONST_NULL 0x01
#define OP_ICONST_M1 0x02
#define OP_ICONST_0 0x03
#define OP_ALOAD_0 0x2a
#define OP_ALOAD_1 0x2b
#define OP_ASTORE 0x3a
#define OP_ASTORE_0 0x4b
#define OP_DUP 0x59
#define OP_IXOR 0x82
#define OP_L2I 0x88
#define OP_IFEQ 0x99
#define OP_TABLESWITCH 0xaa
#define OP_LOOKUPSWITCH 0xab
#define OP_IRETURN 0xac
#define OP_ARETURN 0xb0
#define OP_RETURN 0xb1
#define OP_INVOKEVIRTUAL 0xb6
#define OP_INVOKESTATIC 0xb8
#define OP_INVOKEINTERFACE 0xb9
#define OP_CHECKCAST 0xc0
#define OP_WIDE 0xc4
#define OP_GOTO_W 0xc8
