/* Frames from a capture file, as fast as they are taken, and into another. Either may be missing:
 * "pcap:,OUT" only writes. Format: libpcap's, as in draft-ietf-opsawg-pcap, in either byte order.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/platform.h"
#include "tests/host/link.h"

enum {
    MAGIC_MICROSECONDS = 0xa1b2c3d4,
    MAGIC_NANOSECONDS = 0xa1b23c4d,
    VERSION_MAJOR = 2,
    VERSION_MINOR = 4,
    LINKTYPE_ETHERNET = 1,
    SNAP_LENGTH = 262144,
    PATH_BYTES = 4096,
};

struct file_header {
    uint32_t magic;
    uint16_t version_major, version_minor;
    uint32_t reserved[2];
    uint32_t snap_length;
    uint32_t link_type;
};

struct record_header {
    uint32_t seconds, fraction;
    uint32_t captured_bytes, original_bytes;
};

struct pcap_link {
    struct link link;
    FILE *in, *out;
    bool swapped; /* `in` was written on a machine of the other byte order */
};

static struct pcap_link *pcap_of(struct link *link)
{
    return CONTAINER_OF(link, struct pcap_link, link);
}

static void stop_reading(struct pcap_link *pcap)
{
    fclose(pcap->in);
    pcap->in = NULL;
}

static ssize_t receive(struct link *link, unsigned queue, const struct iovec *parts, int count)
{
    (void)queue;
    struct pcap_link *pcap = pcap_of(link);
    struct record_header record;
    if (pcap->in == NULL)
        return 0;
    if (fread(&record, sizeof(record), 1, pcap->in) != 1) {
        stop_reading(pcap);
        return 0;
    }
    uint32_t length = record.captured_bytes;
    if (pcap->swapped)
        length = __builtin_bswap32(length);
    uint32_t left = length;
    for (int i = 0; i < count && left > 0; i++) {
        size_t part = MIN_OF((size_t)left, parts[i].iov_len);
        if (fread(parts[i].iov_base, 1, part, pcap->in) != part) {
            stop_reading(pcap);
            return -1;
        }
        left -= (uint32_t)part;
    }
    if (left > 0) { /* longer than any frame of ours: skipped */
        if (fseek(pcap->in, (long)left, SEEK_CUR) != 0)
            stop_reading(pcap);
        return -1;
    }
    return length > 0 ? (ssize_t)length : -1;
}

static int send_frame(struct link *link, unsigned queue, const struct iovec *parts, int count)
{
    (void)queue;
    struct pcap_link *pcap = pcap_of(link);
    if (pcap->out == NULL)
        return 1;
    uint64_t now_ns = (uint64_t)clock_unix_ns();
    struct record_header record = {
        .seconds = (uint32_t)(now_ns / NS_PER_S),
        .fraction = (uint32_t)(now_ns % NS_PER_S),
    };
    for (int i = 0; i < count; i++)
        record.captured_bytes += (uint32_t)parts[i].iov_len;
    record.original_bytes = record.captured_bytes;
    bool good = fwrite(&record, sizeof(record), 1, pcap->out) == 1;
    for (int i = 0; i < count && good; i++)
        good = fwrite(parts[i].iov_base, 1, parts[i].iov_len, pcap->out) == parts[i].iov_len;
    return good && fflush(pcap->out) == 0 ? 1 : -1;
}

/* Regular files cannot be waited for. All is taken before the core sleeps for the first time. */
static int file(struct link *link, unsigned queue)
{
    (void)link, (void)queue;
    return -1;
}

static bool up(struct link *link)
{
    (void)link;
    return true;
}

static void destroy(struct link *link)
{
    struct pcap_link *pcap = pcap_of(link);
    if (pcap->in != NULL)
        fclose(pcap->in);
    if (pcap->out != NULL)
        fclose(pcap->out);
    memory_free(pcap);
}

static const struct link_ops ops = { receive, send_frame, file, up, NULL, destroy };

static const char *open_input(struct pcap_link *pcap, const char *path)
{
    struct file_header header;
    pcap->in = fopen(path, "rb");
    if (pcap->in == NULL)
        return strerror(errno);
    if (fread(&header, sizeof(header), 1, pcap->in) != 1)
        return "it is no capture file";
    pcap->swapped = header.magic == __builtin_bswap32(MAGIC_MICROSECONDS) ||
                    header.magic == __builtin_bswap32(MAGIC_NANOSECONDS);
    if (!pcap->swapped && header.magic != MAGIC_MICROSECONDS && header.magic != MAGIC_NANOSECONDS)
        return "it is no capture file";
    uint32_t link_type = pcap->swapped ? __builtin_bswap32(header.link_type) : header.link_type;
    return link_type == LINKTYPE_ETHERNET ? NULL : "its frames are not Ethernet's";
}

static const char *open_output(struct pcap_link *pcap, const char *path)
{
    const struct file_header header = {
        .magic = MAGIC_NANOSECONDS,
        .version_major = VERSION_MAJOR,
        .version_minor = VERSION_MINOR,
        .snap_length = SNAP_LENGTH,
        .link_type = LINKTYPE_ETHERNET,
    };
    pcap->out = fopen(path, "wb");
    if (pcap->out == NULL || fwrite(&header, sizeof(header), 1, pcap->out) != 1 ||
        fflush(pcap->out) != 0)
        return strerror(errno);
    return NULL;
}

struct link *pcap_link_create(const char *in_and_out, char *why, size_t why_size)
{
    char in[PATH_BYTES];
    const char *comma = strchr(in_and_out, ',');
    size_t in_length = comma != NULL ? (size_t)(comma - in_and_out) : 0;
    if (comma == NULL || in_length >= sizeof(in)) {
        snprintf(why, why_size, "expected pcap:IN,OUT");
        return NULL;
    }
    memcpy(in, in_and_out, in_length);
    in[in_length] = '\0';
    const char *out = comma + 1;

    struct pcap_link *pcap = memory_alloc(sizeof(*pcap), 0, MEMORY_DRIVER);
    if (pcap == NULL) {
        snprintf(why, why_size, "%s", error_text(ERROR_NO_MEMORY));
        return NULL;
    }
    pcap->link = (struct link){ .ops = &ops, .kind = "pcap", .queue_count = 1 };
    const char *problem = in[0] != '\0' ? open_input(pcap, in) : NULL;
    const char *path = in;
    if (problem == NULL && out[0] != '\0') {
        problem = open_output(pcap, out);
        path = out;
    }
    if (problem != NULL) {
        snprintf(why, why_size, "pcap %s: %s", path, problem);
        destroy(&pcap->link);
        return NULL;
    }
    return &pcap->link;
}
