/* What we use of the registers of Intel's 82576, I350 and I210 beyond those of e1000_regs.h.
 * Source: "Intel 82576EB Gigabit Ethernet Controller Datasheet", 320025; sections in brackets.
 * Where the others differ it is said: "I350 Datasheet", 333171; "I210 Datasheet", 333016. */
#pragma once

#include "drivers/e1000_regs.h"

enum {
    IGB_82576 = 0x10c9,
    IGB_I350 = 0x1521,
    IGB_I210_COPPER = 0x1533,
    IGB_I210_FIBER = 0x1536,
    IGB_I210_SERDES = 0x1537,
    IGB_I210_SGMII = 0x1538,
    IGB_I210_FLASHLESS = 0x157b,
    IGB_BAR_BYTES = 0x10000, /* as far as the registers go */
    IGB_QUEUE_MAX = 8,       /* the 82576 has 16 */
    IGB_I210_QUEUE_MAX = 4,
};

/* Offsets of registers [8.1]. */
enum {
    IGB_GPIE = 0x1514,
    IGB_EIMS = 0x1524,
    IGB_EIMC = 0x1528,
    IGB_EIAC = 0x152c,
    IGB_EIAM = 0x1530,
    IGB_EICR = 0x1580,
    IGB_IVAR0 = 0x1700,
    IGB_IVAR_MISC = 0x1740,
    IGB_RDBAL = 0xc000,
    IGB_TDBAL = 0xe000,
    IGB_RING_STRIDE = 0x40,
    /* From RDBAL on. */
    IGB_RING_SRRCTL = 0x0c,
    IGB_RING_RQDPC = 0x30, /* dropped by this queue */
};

/* EERD [8.4] */
enum { IGB_EERD_DONE = 1 << 1, IGB_EERD_ADDRESS_SHIFT = 2 };

/* GPIE [8.8] */
enum {
    IGB_GPIE_NSICR = 1 << 0, /* ICR is cleared by reading it */
    IGB_GPIE_MULTIPLE_MSIX = 1 << 4,
    IGB_GPIE_EIAME = 1 << 30, /* EIAM holds */
};
#define IGB_GPIE_PBA_SUPPORT (1u << 31)

/* IVAR [8.8], IVAR_MISC: a byte for each cause. */
enum {
    IGB_IVAR_VALID = 1 << 7,
    IGB_IVAR_MISC_OTHER_SHIFT = 8,
};

/* SRRCTL [8.10] */
enum {
    IGB_SRRCTL_BSIZEPACKET_2K = 2,     /* KiB */
    IGB_SRRCTL_ADVANCED_ONE = 1 << 25, /* advanced descriptors with one buffer */
};
#define IGB_SRRCTL_DROP_EN (1u << 31) /* a full queue holds up no other */

/* RXDCTL [8.10], TXDCTL [8.12]: written back one by one. */
enum {
    IGB_DCTL_PTHRESH = 8 << 0,
    IGB_DCTL_HTHRESH = 8 << 8,
    IGB_DCTL_WTHRESH = 1 << 16,
    IGB_DCTL_ENABLE = 1 << 25,
};

/* MRQC [8.10] */
enum {
    IGB_MRQC_RSS = 2 << 0,
    IGB_MRQC_TCPIPV6 = 1 << 21,
    IGB_MRQC_UDPIPV4 = 1 << 22,
    IGB_MRQC_UDPIPV6 = 1 << 23,
};

/* Advanced transmit descriptors [7.2], DTYP beside E1000_TRANSMIT_DATA. */
#define IGB_TRANSMIT_ADVANCED (1ull << 21)
enum { IGB_TRANSMIT_PAYLEN_SHIFT = 46 };

/* Context descriptor [7.2]: lengths of headers in the first half, TUCMD in the second. */
enum {
    IGB_CONTEXT_MACLEN_SHIFT = 9,
    IGB_CONTEXT_MACLEN_MAX = 0x7f,
    IGB_CONTEXT_IPLEN_MAX = 0x1ff,
    IGB_CONTEXT_IPV4 = 1 << 10,
    IGB_CONTEXT_L4T_UDP = 0 << 11,
    IGB_CONTEXT_L4T_TCP = 1 << 11,
};
