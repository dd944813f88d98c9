/* What a file may be called. The same everywhere, so that what one way of handing it over allows,
 * every other does, too: no folders, no hidden files, nothing a shell would have to quote. */
#include <string.h>

#include "kernel/platform.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

bool file_name_is_valid(const char *name)
{
    size_t length = strspn(name, letters);
    return length > 0 && length < FILE_NAME_MAX && name[length] == '\0' && name[0] != '.';
}
