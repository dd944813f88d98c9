/* See interface_id.h. */
#include "net/interface_id.h"

#include <string.h>

#include "kernel/base/bytes.h"

bool interface_id_is_reserved(const uint8_t id[IPV6_INTERFACE_ID_BYTES])
{
    uint64_t value = load_be64(id);

    return value == 0 || value >> 24 == UINT64_C(0x02005efffe) ||
           (value >= UINT64_C(0xfdffffffffffff80) && value <= UINT64_C(0xfdffffffffffffff));
}

bool interface_id_make(const struct hash_key *secret, const uint8_t network[8],
                       const char interface[PORT_NAME_BYTES], uint8_t tries,
                       uint8_t out[IPV6_INTERFACE_ID_BYTES])
{
    /* Each of its own length, so that no two questions are the same bytes. */
    struct {
        uint8_t network[8];
        char interface[PORT_NAME_BYTES];
        uint8_t tries;
    } question = { .tries = tries };

    CHECK(strlen(interface) < PORT_NAME_BYTES);
    memcpy(question.network, network, sizeof(question.network));
    memcpy(question.interface, interface, strlen(interface));
    uint64_t value = hash_bytes(secret, &question, sizeof(question));
    store_be32(out, (uint32_t)(value >> 32));
    store_be32(out + 4, (uint32_t)value);
    return !interface_id_is_reserved(out);
}
