/* What we use of the registers and descriptors of the Intel 8254x family, most of which the later
 * cards have at the same places. Source: "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual", 317453; sections in brackets. What the later cards have in common is at the
 * end. */
#pragma once

#include "kernel/base/types.h"

enum {
    E1000_VENDOR = 0x8086,
    E1000_82540EM = 0x100e,
    E1000_82545EM = 0x100f,
    E1000_BAR_BYTES = 0x20000, /* [4.1] memory BAR 0 */
};

/* Offsets of registers [13.4]. */
enum {
    E1000_CTRL = 0x0000,
    E1000_STATUS = 0x0008,
    E1000_EERD = 0x0014,
    E1000_ICR = 0x00c0, /* reading it clears it, and quiets the line */
    E1000_ICS = 0x00c8,
    E1000_IMS = 0x00d0,
    E1000_IMC = 0x00d8,
    E1000_RCTL = 0x0100,
    E1000_TCTL = 0x0400,
    E1000_TIPG = 0x0410,
    E1000_RDBAL = 0x2800,
    E1000_TDBAL = 0x3800,
    E1000_RXCSUM = 0x5000,
    E1000_MTA = 0x5200, /* 128 words */
    E1000_RAL0 = 0x5400,
    E1000_RAH0 = 0x5404,
    /* Statistics, cleared by reading [13.7]. */
    E1000_CRCERRS = 0x4000,
    E1000_RXERRC = 0x400c,
    E1000_MPC = 0x4010, /* no room in the card's own memory */
    E1000_ECOL = 0x4018,
    E1000_LATECOL = 0x401c,
    E1000_RLEC = 0x4040,
    E1000_ROC = 0x40ac,
};

/* A ring's registers, from RDBAL or TDBAL on [13.4.25 to 13.4.39]. */
enum {
    E1000_RING_BAH = 0x04,
    E1000_RING_LEN = 0x08,
    E1000_RING_HEAD = 0x10,
    E1000_RING_TAIL = 0x18,
    E1000_RING_DCTL = 0x28, /* RXDCTL, TXDCTL */
};

enum {
    E1000_MTA_WORDS = 128,
    E1000_MUTE = -1, /* as 32 bits: what a card that is gone answers */
};

/* CTRL [13.4.1] */
enum {
    E1000_CTRL_ASDE = 1 << 5, /* speed as the PHY found it */
    E1000_CTRL_SLU = 1 << 6,  /* set link up */
    E1000_CTRL_RST = 1 << 26,
};

/* STATUS [13.4.2] */
enum { E1000_STATUS_LU = 1 << 1 }; /* link up */

/* EERD [13.4.4] */
enum {
    E1000_EERD_START = 1 << 0,
    E1000_EERD_DONE = 1 << 4,
    E1000_EERD_ADDRESS_SHIFT = 8,
    E1000_EERD_DATA_SHIFT = 16,
};

/* ICR, ICS, IMS, IMC [13.4.17] */
enum {
    E1000_INTERRUPT_LSC = 1 << 2,    /* link changed */
    E1000_INTERRUPT_RXDMT0 = 1 << 4, /* few descriptors left */
    E1000_INTERRUPT_RXO = 1 << 6,    /* none left */
    E1000_INTERRUPT_RXT0 = 1 << 7,   /* received */
};

/* RCTL [13.4.22]. The field for the buffer size, 17:16, is 0: 2048 bytes. */
enum {
    E1000_RCTL_EN = 1 << 1,
    E1000_RCTL_MPE = 1 << 4, /* all multicast */
    E1000_RCTL_LPE = 1 << 5, /* frames longer than 1522 bytes */
    E1000_RCTL_BAM = 1 << 15,
    E1000_RCTL_SECRC = 1 << 26, /* without FCS */
    E1000_BUFFER_BYTES = 2048,
};

/* RXCSUM [13.4.28] */
enum { E1000_RXCSUM_TUOFLD = 1 << 9 };

/* TCTL [13.4.33], TIPG [13.4.34]: the values the manual recommends for copper, full duplex. */
enum {
    E1000_TCTL_EN = 1 << 1,
    E1000_TCTL_PSP = 1 << 3, /* pad short packets */
    E1000_TCTL_CT = 0x0f << 4,
    E1000_TCTL_COLD = 0x40 << 12,
    E1000_TIPG_COPPER = 10 | 8 << 10 | 6 << 20,
};

#define E1000_RAH_AV (1u << 31)

/* Receive descriptor [3.2.3]: `state` is length 15:0, checksum 31:16, status 39:32, errors 47:40.
 */
struct e1000_receive_descriptor {
    uint64_t address;
    _Atomic uint64_t state; /* the card writes it, too */
};
_Static_assert(sizeof(struct e1000_receive_descriptor) == 16, "8254x SDM 3.2.3");

#define E1000_RECEIVE_LENGTH(state) ((uint32_t)((state)&0xffff))
#define E1000_RECEIVE_DD            (1ull << 32)
#define E1000_RECEIVE_EOP           (1ull << 33)
/* RXCSUM.TUOFLD [13.4.28]: what the card says about the checksums of TCP and UDP. */
#define E1000_RECEIVE_IXSM  (1ull << 34) /* nothing */
#define E1000_RECEIVE_TCPCS (1ull << 37) /* it has looked, */
#define E1000_RECEIVE_TCPE  (1ull << 45) /* and it is wrong */
/* CE, SE, SEQ, RXE; the checksum errors TCPE and IPE are none of the frame's. */
#define E1000_RECEIVE_ERRORS (0x97ull << 40)
/* A frame in one descriptor, and good: */
#define E1000_RECEIVE_WHOLE      (E1000_RECEIVE_DD | E1000_RECEIVE_EOP)
#define E1000_RECEIVE_WHOLE_MASK (E1000_RECEIVE_WHOLE | E1000_RECEIVE_ERRORS)

/* Legacy transmit descriptor [3.3.3]: `state` is length 15:0, command 31:24, status 35:32. */
struct e1000_transmit_descriptor {
    uint64_t address;
    _Atomic uint64_t state; /* the card writes it, too */
};
_Static_assert(sizeof(struct e1000_transmit_descriptor) == 16, "8254x SDM 3.3.3");

#define E1000_TRANSMIT_EOP  (1ull << 24)
#define E1000_TRANSMIT_IFCS (1ull << 25) /* append the FCS */
#define E1000_TRANSMIT_RS   (1ull << 27) /* set DD when done */
#define E1000_TRANSMIT_DD   (1ull << 32)

/* ---- The later cards: 82574, 82576, I210, I350 ------------------------------------------------
 * Sections are those of the datasheet of the 82574, 82576EB; the others have the same. */

enum {
    E1000_CTRL_EXT = 0x0018,
    E1000_EECD = 0x0010,
    E1000_MDIC = 0x0020,
    E1000_MRQC = 0x5818,
    E1000_RETA = 0x5c00,  /* 32 words of 4 entries */
    E1000_RSSRK = 0x5c80, /* 10 words */
};

enum {
    E1000_CTRL_GIO_MASTER_DISABLE = 1 << 2,   /* no new requests by DMA, */
    E1000_STATUS_GIO_MASTER_ENABLE = 1 << 19, /* cleared when the last has ended */
    E1000_EECD_AUTO_RD = 1 << 9,              /* all of the EEPROM is in the registers */
    E1000_MDIC_REGISTER_SHIFT = 16,
    E1000_MDIC_PHY = 1 << 21, /* the card's own */
    E1000_MDIC_WRITE = 1 << 26,
    E1000_MDIC_READY = 1 << 28,
    E1000_RXCSUM_PCSD = 1 << 13, /* a hash in the descriptor: RSS wants it */
    E1000_RETA_ENTRIES = 128,
    E1000_RSS_KEY_BYTES = 40,
};

/* MDIC and PHY register 0: negotiates anew, powered. */
enum {
    E1000_PHY_CONTROL = 0,
    E1000_PHY_CONTROL_RESTART = 1 << 9,
    E1000_PHY_CONTROL_NEGOTIATE = 1 << 12,
};

/* MRQC: what a packet is spread by. All have these. */
enum {
    E1000_MRQC_TCPIPV4 = 1 << 16,
    E1000_MRQC_IPV4 = 1 << 17,
    E1000_MRQC_IPV6 = 1 << 20,
};

/* What the card writes into an extended [82574 7.1] or advanced [82576 7.1] receive
 * descriptor, second half: status 19:0, errors 31:20, length 47:32. */
#define E1000_DONE_LENGTH(state) ((uint32_t)((state) >> 32 & 0xffff))
#define E1000_DONE_DD            (1ull << 0)
#define E1000_DONE_EOP           (1ull << 1)
#define E1000_DONE_IXSM          (1ull << 2)  /* 82574: nothing is said about checksums */
#define E1000_DONE_L4CS          (1ull << 5)  /* it has looked at the checksum of TCP or UDP, */
#define E1000_DONE_L4E           (1ull << 29) /* and it is wrong */
/* CE, SE, SEQ, CXE, RXE; of them advanced descriptors have RXE alone, the rest being 0. */
#define E1000_DONE_ERRORS (0x97ull << 24)
/* A frame in one descriptor, and good: */
#define E1000_DONE_WHOLE      (E1000_DONE_DD | E1000_DONE_EOP)
#define E1000_DONE_WHOLE_MASK (E1000_DONE_WHOLE | E1000_DONE_ERRORS)

/* Extended [8254x 3.3.7] and advanced [82576 7.2] transmit descriptors. */
#define E1000_TRANSMIT_DATA (1ull << 20) /* in DTYP: data, else a context */
#define E1000_TRANSMIT_DEXT (1ull << 29) /* not legacy */
#define E1000_TRANSMIT_TXSM (1ull << 41) /* completes the checksum, by the last context */
