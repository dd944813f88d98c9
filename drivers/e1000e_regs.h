/* What we use of the registers of Intel's 82574L beyond those of e1000_regs.h. Source: "Intel 82574
 * GbE Controller Family Datasheet", 317694; sections in brackets. */
#pragma once

#include "drivers/e1000_regs.h"

enum {
    E1000E_82574L = 0x10d3,
    E1000E_BAR_BYTES = 0x20000,
    E1000E_QUEUE_MAX = 2,
    E1000E_RING_STRIDE = 0x100, /* from RDBAL0 to RDBAL1 */
};

/* Offsets of registers [10.2]. */
enum {
    E1000E_EIAC = 0x00dc,
    E1000E_IVAR = 0x00e4,
    E1000E_RFCTL = 0x5008,
};

/* EERD [10.2.2] */
enum { E1000E_EERD_DONE = 1 << 1, E1000E_EERD_ADDRESS_SHIFT = 2 };

/* CTRL_EXT [10.2.2] */
#define E1000E_CTRL_EXT_PBA (1u << 31) /* for MSI-X */

/* ICR, IMS, IMC, EIAC [10.2.4]: causes with MSI-X. */
enum {
    E1000E_INTERRUPT_RXQ0 = 1 << 20, /* that of queue 1 follows */
    E1000E_INTERRUPT_OTHER = 1 << 24,
};

/* IVAR [10.2.4]: four bits for each cause, three of the vector and one that says that it holds.
 */
enum {
    E1000E_IVAR_RXQ0_SHIFT = 0,
    E1000E_IVAR_RXQ1_SHIFT = 4,
    E1000E_IVAR_OTHER_SHIFT = 16,
    E1000E_IVAR_VALID = 1 << 3,
};

/* RFCTL [10.2.5] */
enum { E1000E_RFCTL_EXSTEN = 1 << 15 }; /* extended receive descriptors */

/* MRQC, RETA [10.2.5] */
enum {
    E1000E_MRQC_RSS = 1 << 0,
    E1000E_RETA_QUEUE_SHIFT = 7, /* in an entry */
};

/* TXDCTL [10.2.6] */
enum {
    E1000E_TXDCTL_WTHRESH = 1 << 16, /* written back one by one */
    E1000E_TXDCTL_COUNT_DESC = 1 << 22,
    E1000E_TXDCTL_GRAN = 1 << 24, /* thresholds count descriptors */
};

/* Context descriptor [8254x 3.3.6], first half. TUCSE is 0: up to the frame's end. */
enum {
    E1000E_CONTEXT_TUCSS_SHIFT = 32, /* where to begin, */
    E1000E_CONTEXT_TUCSO_SHIFT = 40, /* where to put the sum; a byte each */
    E1000E_CONTEXT_OFFSET_MAX = 0xff,
};
