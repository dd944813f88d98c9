/* The numbers of the virtio 1.2 specification that we use: the PCI transport (4.1), split (2.7) and
 * packed (2.8) rings, and the network device (5.1). Everything is little-endian. */
#pragma once

#include "kernel/base/types.h"

enum {
    VIRTIO_VENDOR = 0x1af4,
    VIRTIO_DEVICE_NET_TRANSITIONAL = 0x1000,
    VIRTIO_DEVICE_NET = 0x1041,
};

/* 4.1.4: vendor-specific capabilities say where in which BAR a structure lies. */
enum {
    VIRTIO_CAPABILITY_ID = 0x09,
    VIRTIO_CAPABILITY_TYPE = 3,               /* u8, one of those below */
    VIRTIO_CAPABILITY_BAR = 4,                /* u8 */
    VIRTIO_CAPABILITY_OFFSET = 8,             /* u32 */
    VIRTIO_CAPABILITY_LENGTH = 12,            /* u32 */
    VIRTIO_CAPABILITY_NOTIFY_MULTIPLIER = 16, /* u32, behind type NOTIFY only */

    VIRTIO_TYPE_COMMON = 1,
    VIRTIO_TYPE_NOTIFY = 2,
    VIRTIO_TYPE_ISR = 3,
    VIRTIO_TYPE_DEVICE = 4,
};

/* 4.1.4.3: the common configuration structure. */
enum {
    VIRTIO_COMMON_DEVICE_FEATURE_SELECT = 0x00, /* u32 */
    VIRTIO_COMMON_DEVICE_FEATURE = 0x04,        /* u32 */
    VIRTIO_COMMON_DRIVER_FEATURE_SELECT = 0x08, /* u32 */
    VIRTIO_COMMON_DRIVER_FEATURE = 0x0c,        /* u32 */
    VIRTIO_COMMON_CONFIG_VECTOR = 0x10,         /* u16 */
    VIRTIO_COMMON_QUEUE_COUNT = 0x12,           /* u16 */
    VIRTIO_COMMON_STATUS = 0x14,                /* u8 */
    VIRTIO_COMMON_QUEUE_SELECT = 0x16,          /* u16 */
    VIRTIO_COMMON_QUEUE_SIZE = 0x18,            /* u16 */
    VIRTIO_COMMON_QUEUE_VECTOR = 0x1a,          /* u16 */
    VIRTIO_COMMON_QUEUE_ENABLE = 0x1c,          /* u16 */
    VIRTIO_COMMON_QUEUE_NOTIFY_OFFSET = 0x1e,   /* u16 */
    VIRTIO_COMMON_QUEUE_DESCRIPTORS = 0x20,     /* u64, as two u32 */
    VIRTIO_COMMON_QUEUE_DRIVER = 0x28,          /* u64: available ring, or our event structure */
    VIRTIO_COMMON_QUEUE_DEVICE = 0x30,          /* u64: used ring, or the device's */
    VIRTIO_COMMON_BYTES = 0x38,

    VIRTIO_NO_VECTOR = 0xffff,
};

/* 2.1: device status. */
enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1 << 0,
    VIRTIO_STATUS_DRIVER = 1 << 1,
    VIRTIO_STATUS_DRIVER_OK = 1 << 2,
    VIRTIO_STATUS_FEATURES_OK = 1 << 3,
    VIRTIO_STATUS_NEEDS_RESET = 1 << 6,
    VIRTIO_STATUS_FAILED = 1 << 7,
    VIRTIO_STATUS_MUTE = 0xff, /* what a device that is gone answers */
};

/* 5.1.3 and 6: features, as masks of 64 bits. */
#define VIRTIO_NET_F_CSUM          (1ull << 0)
#define VIRTIO_NET_F_MTU           (1ull << 3)
#define VIRTIO_NET_F_MAC           (1ull << 5)
#define VIRTIO_NET_F_MRG_RXBUF     (1ull << 15)
#define VIRTIO_NET_F_STATUS        (1ull << 16)
#define VIRTIO_NET_F_CTRL_VQ       (1ull << 17)
#define VIRTIO_NET_F_CTRL_RX       (1ull << 18)
#define VIRTIO_NET_F_MQ            (1ull << 22)
#define VIRTIO_NET_F_CTRL_MAC_ADDR (1ull << 23)
#define VIRTIO_F_VERSION_1         (1ull << 32)
#define VIRTIO_F_RING_PACKED       (1ull << 34)
#define VIRTIO_NET_F_RSS           (1ull << 60)

/* 2.7.5: a descriptor. */
struct virtio_descriptor {
    uint64_t address;
    union {
        struct {
            uint32_t length_bytes;
            uint16_t flags;
            uint16_t next;
        };
        uint64_t length_alone; /* written as one word: no flags, no next */
    };
};
_Static_assert(sizeof(struct virtio_descriptor) == 16, "virtio 1.2, 2.7.5");

enum {
    VIRTIO_DESCRIPTOR_NEXT = 1 << 0,  /* the buffer goes on in `next` */
    VIRTIO_DESCRIPTOR_WRITE = 1 << 1, /* the device writes it */
};

/* 2.7.6: what we offer, by the number of the first descriptor. */
struct virtio_available {
    _Atomic uint16_t flags;
    _Atomic uint16_t index;
    uint16_t ring[];
};

enum { VIRTIO_AVAILABLE_NO_INTERRUPT = 1 << 0 };

/* 2.7.8: what the device is done with. Written by the device at any time, so each word is read
 * once. */
struct virtio_used_element {
    volatile uint32_t id;
    volatile uint32_t length_bytes;
};

struct virtio_used {
    _Atomic uint16_t flags;
    _Atomic uint16_t index;
    struct virtio_used_element ring[];
};

enum { VIRTIO_USED_NO_NOTIFY = 1 << 0 };

/* 2.8.13: a descriptor of a packed ring. `state` is length 31:0, id 47:32 and flags 63:48, one
 * word, so that it is given with one store and read with one load. The device writes it, too. */
struct virtio_packed_descriptor {
    uint64_t address;
    _Atomic uint64_t state;
};
_Static_assert(sizeof(struct virtio_packed_descriptor) == 16, "virtio 1.2, 2.8.13");

#define VIRTIO_PACKED_LENGTH(state) ((uint32_t)(state))
#define VIRTIO_PACKED_ID(state)     ((uint32_t)((state) >> 32) & 0xffff)
#define VIRTIO_PACKED_ID_OF(id)     ((uint64_t)(id) << 32)
#define VIRTIO_PACKED_NEXT          ((uint64_t)VIRTIO_DESCRIPTOR_NEXT << 48)
#define VIRTIO_PACKED_WRITE         ((uint64_t)VIRTIO_DESCRIPTOR_WRITE << 48)
#define VIRTIO_PACKED_AVAILABLE     (1ull << (48 + 7)) /* 2.8.1: differ while it is the device's, */
#define VIRTIO_PACKED_USED          (1ull << (48 + 15)) /* are equal when it is ours again */
#define VIRTIO_PACKED_OWNER         (VIRTIO_PACKED_AVAILABLE | VIRTIO_PACKED_USED)

/* 2.8.14: how one side of a packed ring wants to be told. */
struct virtio_packed_event {
    uint16_t place; /* with F_EVENT_IDX, which is not negotiated */
    _Atomic uint16_t flags;
};

enum {
    VIRTIO_PACKED_EVENT_ENABLE = 0,
    VIRTIO_PACKED_EVENT_DISABLE = 1,
};

/* 5.1.4: device configuration of a network device. */
enum {
    VIRTIO_NET_CONFIG_MAC = 0,             /* u8[6] */
    VIRTIO_NET_CONFIG_STATUS = 6,          /* u16, with F_STATUS */
    VIRTIO_NET_CONFIG_PAIR_COUNT = 8,      /* u16, with F_MQ */
    VIRTIO_NET_CONFIG_MTU = 10,            /* u16, with F_MTU */
    VIRTIO_NET_CONFIG_SPEED = 12,          /* u32; as the duplex byte behind it, not used */
    VIRTIO_NET_CONFIG_RSS_KEY_MAX = 17,    /* u8, with F_RSS, like the rest */
    VIRTIO_NET_CONFIG_RSS_TABLE_MAX = 18,  /* u16 */
    VIRTIO_NET_CONFIG_RSS_HASH_TYPES = 20, /* u32 */
    VIRTIO_NET_CONFIG_END = 24,

    VIRTIO_NET_STATUS_LINK_UP = 1 << 0,
};

/* 5.1.6: what stands before every frame: ten bytes about offloads, and the number of buffers that a
 * received frame fills. */
enum {
    VIRTIO_NET_HEADER_BYTES = 12,
    VIRTIO_NET_HEADER_FLAGS = 0,           /* u8 */
    VIRTIO_NET_HEADER_CHECKSUM_START = 6,  /* u16, from the frame's first byte */
    VIRTIO_NET_HEADER_CHECKSUM_OFFSET = 8, /* u16, from there */
    VIRTIO_NET_HEADER_BUFFER_COUNT = 10,   /* u16 */

    VIRTIO_NET_HEADER_NEEDS_CHECKSUM = 1 << 0,
};

/* 5.1.6.5: the control queue: class, command, data | answer. */
enum {
    VIRTIO_NET_CONTROL_RX = 0,
    VIRTIO_NET_CONTROL_RX_PROMISCUOUS = 0,   /* u8: on or off */
    VIRTIO_NET_CONTROL_RX_ALL_MULTICAST = 1, /* u8 */
    VIRTIO_NET_CONTROL_MAC = 1,
    VIRTIO_NET_CONTROL_MAC_ADDRESS_SET = 1, /* u8[6] */
    VIRTIO_NET_CONTROL_MQ = 4,
    VIRTIO_NET_CONTROL_MQ_PAIRS_SET = 0,  /* u16 */
    VIRTIO_NET_CONTROL_MQ_RSS_CONFIG = 1, /* 5.1.6.5.7.1: the fields below */

    VIRTIO_NET_CONTROL_OK = 0,
};

/* 5.1.6.4.3, 5.1.6.5.7.1: receive-side scaling. The command's data, in this order: */
enum {
    VIRTIO_NET_RSS_HASH_TYPES = 0,   /* u32 */
    VIRTIO_NET_RSS_TABLE_MASK = 4,   /* u16: entries - 1, entries being a power of two */
    VIRTIO_NET_RSS_UNCLASSIFIED = 6, /* u16: pair that gets what has no hash */
    VIRTIO_NET_RSS_TABLE = 8,        /* u16 each: pair for a hash; then: */
    VIRTIO_NET_RSS_TRANSMIT_MAX = 0, /* u16: highest transmit queue, counted from 1 */
    VIRTIO_NET_RSS_KEY_LENGTH = 2,   /* u8, and the key */
    VIRTIO_NET_RSS_KEY = 3,

    VIRTIO_NET_HASH_IPV4 = 1 << 0,
    VIRTIO_NET_HASH_TCPV4 = 1 << 1,
    VIRTIO_NET_HASH_UDPV4 = 1 << 2,
    VIRTIO_NET_HASH_IPV6 = 1 << 3,
    VIRTIO_NET_HASH_TCPV6 = 1 << 4,
    VIRTIO_NET_HASH_UDPV6 = 1 << 5,
};
