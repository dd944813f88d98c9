/* covers: net/route_file.c */
/* Whatever the text and the pieces in which it comes: what is visited is sound, and what is refused
 * is said in words. */
#include "net/route_file.h"

#include <string.h>

#include "kernel/base/text.h"
#include "kernel/platform.h"
#include "tests/host/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum error look_at(void *context, const struct route_line *line, const char **wrong)
{
    struct prefix network = prefix_network(&line->prefix);
    unsigned *left = context;

    CHECK(line->prefix.length <= 32);
    CHECK(prefix_equal(&network, &line->prefix));
    if ((*left)-- > 0)
        return OK;
    *wrong = "enough";
    return ERROR_BAD_VALUE;
}

/* The first byte says how long the pieces are, the second how many lines are taken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char problem[64] = "";
    struct text text = text_of(problem, sizeof(problem));

    if (size < 2)
        return 0;
    unsigned left = data[1];
    host_file_read_max(data[0] + 1u);
    host_file_add("table", data + 2, size - 2);
    enum error error = route_file_read("table", FAMILY_IPV4, look_at, &left, NULL, &text);
    CHECK((error == OK) == (problem[0] == '\0'));
    host_file_remove_all();
    host_file_add("table", data + 2, size - 2);
    host_fail_read(data[0] % 4);
    error = route_file_read("table", FAMILY_IPV4, look_at, &left, NULL, &text);
    host_fail_read(UINT64_MAX);
    error = prefix_file_read("table", FAMILY_IPV4, look_at, &left, NULL, &text);
    host_file_remove_all();
    error = route_file_read("absent", FAMILY_IPV4, look_at, &left, NULL, &text);
    CHECK(error == ERROR_NOT_FOUND);
    host_fail_allocation(0);
    error = route_file_read("table", FAMILY_IPV4, look_at, &left, NULL, &text);
    host_fail_allocation(UINT64_MAX);
    CHECK(error == ERROR_NO_MEMORY);
    return 0;
}
