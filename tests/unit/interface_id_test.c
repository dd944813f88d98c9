/* Stable identifiers: the same for the same question and no other, and never a reserved one. */
#include "net/interface_id.h"

#include <string.h>

#include "kernel/base/bytes.h"
#include "tests/unit/test.h"

static const uint8_t net_1[8] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1 };
static const uint8_t net_2[8] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2 };

static uint64_t make(uint64_t secret, const uint8_t net[8], const char *interface, uint8_t tries)
{
    const struct hash_key key = { { secret, 7 } };
    char name[PORT_NAME_BYTES] = "";
    uint8_t id[8];

    memcpy(name, interface, strlen(interface));
    EXPECT(interface_id_make(&key, net, name, tries, id));
    return load_be64(id);
}

TEST(interface_id_is_another_one_in_each_net_on_each_interface_and_in_each_try)
{
    const uint64_t ids[] = { make(1, net_1, "eth0", 0), make(2, net_1, "eth0", 0),
                             make(1, net_2, "eth0", 0), make(1, net_1, "eth1", 0),
                             make(1, net_1, "eth0", 1) };

    EXPECT_EQUAL(make(1, net_1, "eth0", 0), ids[0]);
    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++)
        for (unsigned k = 0; k < i; k++)
            EXPECT(ids[i] != ids[k]);
}

/* IANA's registry of reserved IPv6 interface identifiers, and their neighbors. */
TEST(interface_id_of_nobody_is_refused)
{
    static const struct {
        uint64_t id;
        bool reserved;
    } cases[] = {
        { 0, true },
        { 1, false },
        { 0x02005efffe000000, true },
        { 0x02005efffe005212, true },
        { 0x02005efffeffffff, true },
        { 0x02005effff000000, false },
        { 0x02005efffdffffff, false },
        { 0xfdffffffffffff7f, false },
        { 0xfdffffffffffff80, true },
        { 0xfdffffffffffffff, true },
        { 0xfe00000000000000, false },
    };
    uint8_t id[8];

    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        store_be32(id, (uint32_t)(cases[i].id >> 32));
        store_be32(id + 4, (uint32_t)cases[i].id);
        EXPECT_EQUAL(interface_id_is_reserved(id), cases[i].reserved);
    }
}
