/* A cable of two datagram sockets: one datagram is one frame. The other end may come and go; the
 * link is up while its socket exists. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernel/platform.h"
#include "tests/host/link.h"

struct unix_link {
    struct link link;
    int socket;
    struct sockaddr_un local, remote;
};

static struct unix_link *unix_of(struct link *link)
{
    return CONTAINER_OF(link, struct unix_link, link);
}

static ssize_t receive(struct link *link, unsigned queue, const struct iovec *parts, int count)
{
    (void)queue;
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
    ssize_t length = recvmsg(unix_of(link)->socket, &message, MSG_DONTWAIT);
    if (length < 0)
        return 0;
    return length == 0 || (message.msg_flags & MSG_TRUNC) != 0 ? -1 : length;
}

static int send_frame(struct link *link, unsigned queue, const struct iovec *parts, int count)
{
    (void)queue;
    struct unix_link *cable = unix_of(link);
    struct msghdr message = {
        .msg_name = &cable->remote,
        .msg_namelen = sizeof(cable->remote),
        .msg_iov = (struct iovec *)parts,
        .msg_iovlen = (size_t)count,
    };
    if (sendmsg(cable->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 1;
    return errno == EAGAIN ? 0 : -1;
}

static int file(struct link *link, unsigned queue)
{
    (void)queue;
    return unix_of(link)->socket;
}

static bool up(struct link *link)
{
    return access(unix_of(link)->remote.sun_path, F_OK) == 0;
}

static void destroy(struct link *link)
{
    struct unix_link *cable = unix_of(link);
    if (cable->socket >= 0) {
        close(cable->socket);
        unlink(cable->local.sun_path);
    }
    memory_free(cable);
}

static const struct link_ops ops = { receive, send_frame, file, up, NULL, destroy };

/* False where the path is empty or too long. */
static bool set_address(struct sockaddr_un *address, const char *path, size_t length)
{
    if (length == 0 || length >= sizeof(address->sun_path))
        return false;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    return true;
}

struct link *unix_link_create(const char *local_and_remote, char *why, size_t why_size)
{
    struct unix_link *cable = memory_alloc(sizeof(*cable), 0, MEMORY_DRIVER);
    if (cable == NULL) {
        snprintf(why, why_size, "%s", error_text(ERROR_NO_MEMORY));
        return NULL;
    }
    cable->link = (struct link){ .ops = &ops, .kind = "unix", .queue_count = 1 };
    cable->socket = -1;
    const char *comma = strchr(local_and_remote, ',');
    if (comma == NULL ||
        !set_address(&cable->local, local_and_remote, (size_t)(comma - local_and_remote)) ||
        !set_address(&cable->remote, comma + 1, strlen(comma + 1))) {
        snprintf(why, why_size, "expected unix:LOCAL,REMOTE with paths of at most %zu bytes",
                 sizeof(cable->local.sun_path) - 1);
        goto bad;
    }
    cable->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unlink(cable->local.sun_path); /* of a run that ended badly */
    if (cable->socket < 0 ||
        bind(cable->socket, (struct sockaddr *)&cable->local, sizeof(cable->local)) != 0) {
        snprintf(why, why_size, "unix %s: %s", cable->local.sun_path, strerror(errno));
        goto bad;
    }
    return &cable->link;

bad:
    destroy(&cable->link);
    return NULL;
}
