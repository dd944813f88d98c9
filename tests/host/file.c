/* Files from a test's memory, or else from a folder. A file of the folder is opened anew by each
 * read, so nothing has to be closed. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/platform.h"
#include "tests/host/host.h"

static struct file files[HOST_FILE_MAX];
static unsigned file_count;
static int folder = -1;
static size_t read_max = FILE_READ_MAX;
static uint64_t reads;
static uint64_t failing = UINT64_MAX;

static struct file *find(const char *name)
{
    for (unsigned i = 0; i < file_count; i++) {
        if (strcmp(files[i].name, name) == 0)
            return &files[i];
    }
    return NULL;
}

void host_file_add(const char *name, const void *bytes, size_t size)
{
    struct file *file = find(name);

    CHECK(file_name_is_valid(name));
    CHECK(bytes != NULL);
    if (file == NULL) {
        CHECK(file_count < HOST_FILE_MAX);
        file = &files[file_count++];
    }
    *file = (struct file){ .size_bytes = size, .bytes = bytes };
    strcpy(file->name, name);
}

void host_file_remove_all(void)
{
    file_count = 0;
}

bool host_file_folder(const char *path)
{
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder >= 0;
}

void host_file_read_max(size_t size)
{
    CHECK(size > 0 && size <= FILE_READ_MAX);
    read_max = size;
}

void host_fail_read(uint64_t n)
{
    reads = 0;
    failing = n;
}

static int open_in_folder(const char *name)
{
    return openat(folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static enum error open_file(const char *name, struct file *file)
{
    struct stat status;
    int descriptor = open_in_folder(name);

    if (descriptor < 0)
        return ERROR_NOT_FOUND;
    bool is_file = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    close(descriptor);
    if (!is_file)
        return ERROR_NOT_FOUND;
    *file = (struct file){ .size_bytes = (uint64_t)status.st_size };
    strcpy(file->name, name);
    return OK;
}

enum error file_open(const char *name, struct file *file)
{
    if (!file_name_is_valid(name))
        return ERROR_BAD_VALUE;
    const struct file *known = find(name);
    if (known == NULL)
        return open_file(name, file);
    *file = *known;
    return OK;
}

/* A file that has become shorter is one that cannot be read. */
static enum error read_file(const struct file *file, uint64_t offset, void *out, size_t size,
                            size_t *read_bytes)
{
    int descriptor = open_in_folder(file->name);
    ssize_t count = pread(descriptor, out, size, (off_t)offset);

    if (descriptor >= 0)
        close(descriptor);
    if (count < 0)
        return fail(ERROR_DEVICE);
    if (count == 0)
        return fail(ERROR_TRUNCATED);
    *read_bytes = (size_t)count;
    return OK;
}

enum error file_read(const struct file *file, uint64_t offset, void *out, size_t size,
                     size_t *read_bytes)
{
    *read_bytes = 0;
    if (reads++ == failing)
        return fail(ERROR_DEVICE);
    if (size == 0 || offset >= file->size_bytes)
        return OK;
    size = MIN_OF(MIN_OF(size, read_max), file->size_bytes - offset);
    if (file->bytes == NULL)
        return read_file(file, offset, out, size, read_bytes);
    memcpy(out, (const char *)file->bytes + offset, size);
    *read_bytes = size;
    return OK;
}
