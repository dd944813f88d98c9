/* A tap device of Linux: what the host sends to its interface NAME arrives here. Each core has a
 * queue of its own where the interface was made for that (`ip tuntap add ... multi_queue`) or is
 * made now.
 *
 * Each frame comes and goes with a virtio header in front. The offloads it could describe stay off,
 * because a forwarding router has to hand on frames that are complete. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kernel/platform.h"
#include "tests/host/link.h"

struct tap_link {
    struct link link;
    int files[LINK_QUEUE_MAX];
};

static struct tap_link *tap_of(struct link *link)
{
    return CONTAINER_OF(link, struct tap_link, link);
}

static ssize_t receive(struct link *link, unsigned queue, const struct iovec *parts, int count)
{
    struct virtio_net_hdr header;
    struct iovec all[1 + LINK_PARTS_MAX] = { { &header, sizeof(header) } };
    memcpy(all + 1, parts, (size_t)count * sizeof(*parts));
    ssize_t length = readv(tap_of(link)->files[queue], all, 1 + count);
    return length > (ssize_t)sizeof(header) ? length - (ssize_t)sizeof(header) : 0;
}

static int send_frame(struct link *link, unsigned queue, const struct iovec *parts, int count)
{
    struct virtio_net_hdr header = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
    struct iovec all[1 + LINK_PARTS_MAX] = { { &header, sizeof(header) } };
    memcpy(all + 1, parts, (size_t)count * sizeof(*parts));
    if (writev(tap_of(link)->files[queue], all, 1 + count) >= 0)
        return 1;
    return errno == EAGAIN ? 0 : -1; /* EIO while the interface is down */
}

static int file(struct link *link, unsigned queue)
{
    return tap_of(link)->files[queue];
}

/* The driver lets us write while the interface is up, in whatever namespace it may be by now, where
 * we could not ask for its flags. */
static bool up(struct link *link)
{
    struct pollfd tap = { .fd = tap_of(link)->files[0], .events = POLLOUT };
    return poll(&tap, 1, 0) == 1 && (tap.revents & POLLOUT) != 0;
}

static void keep_queues(struct link *link, unsigned queue_count)
{
    while (link->queue_count > queue_count)
        close(tap_of(link)->files[--link->queue_count]);
}

static void destroy(struct link *link)
{
    keep_queues(link, 0);
    memory_free(tap_of(link));
}

static const struct link_ops ops = { receive, send_frame, file, up, keep_queues, destroy };

static int open_queue(const char *name, short flags)
{
    int tap_file = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap_file < 0)
        return -1;
    struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
    memcpy(request.ifr_name, name, strlen(name));
    int header_bytes = sizeof(struct virtio_net_hdr);
    if (ioctl(tap_file, TUNSETIFF, &request) != 0 ||
        ioctl(tap_file, TUNSETVNETHDRSZ, &header_bytes) != 0 ||
        ioctl(tap_file, TUNSETOFFLOAD, 0) != 0) {
        int reason = errno;
        close(tap_file);
        errno = reason;
        return -1;
    }
    return tap_file;
}

struct link *tap_link_create(const char *name, unsigned queue_count, char *why, size_t why_size)
{
    if (name[0] == '\0' || strlen(name) >= IFNAMSIZ) {
        snprintf(why, why_size, "\"%s\" is no name of an interface", name);
        return NULL;
    }
    struct tap_link *tap = memory_alloc(sizeof(*tap), 0, MEMORY_DRIVER);
    if (tap == NULL) {
        snprintf(why, why_size, "%s", error_text(ERROR_NO_MEMORY));
        return NULL;
    }
    tap->link = (struct link){ .ops = &ops, .kind = "tap" };

    for (unsigned i = 0; i < MIN_OF(queue_count, (unsigned)LINK_QUEUE_MAX); i++) {
        tap->files[i] = open_queue(name, IFF_MULTI_QUEUE);
        if (tap->files[i] < 0 && errno == EINVAL && i == 0)
            tap->files[i] = open_queue(name, 0); /* it was made with one queue only */
        if (tap->files[i] < 0)
            break;
        tap->link.queue_count++;
    }
    if (tap->link.queue_count == 0) {
        snprintf(why, why_size, "tap %s: %s", name, strerror(errno));
        destroy(&tap->link);
        return NULL;
    }
    return &tap->link;
}
