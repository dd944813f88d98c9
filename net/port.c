/* Ports over network cards: whose queue is whose, frames in, frames out. The only file of net/ that
 * knows drivers/nic.h.
 *
 * Queue i of a card belongs to the i-th working core. A card with fewer queues than there are cores
 * gives them to cores that differ from card to card, so that two such cards load two cores; who has
 * no queue sends by mailbox through one who has. */
#include "net/port.h"

#include <string.h>

#include "drivers/nic.h"
#include "kernel/base/log.h"
#include "net/datapath.h"
#include "net/forwarding.h"
#include "net/stage.h"
#include "net/wire/ethernet.h"

enum {
    /* From so many cores on, the control core owns no queue: its work would delay packets. */
    CORES_FOR_SEPARATE_CONTROL = 4,
    /* Between tries to open a card that fails; one that has worked for longer is tried at once. */
    RETRY_MIN_S = 1,
    RETRY_MAX_S = 60,
};

/* ---- Opening ----------------------------------------------------------------------------------
 */

static unsigned first_worker(const struct router *router)
{
    return router->core_count >= CORES_FOR_SEPARATE_CONTROL ? CONTROL_CORE + 1 : 0;
}

static unsigned core_of_queue(const struct router *router, const struct port *port, unsigned queue,
                              unsigned queue_count)
{
    unsigned first = first_worker(router), workers = router->core_count - first;

    return first + (queue_count == workers ? queue : port->index * queue_count + queue) % workers;
}

void port_create(struct port *port, unsigned index, struct nic *nic)
{
    *port = (struct port){ .index = (uint16_t)index, .nic = nic, .mtu_bytes = MTU_DEFAULT };
    if (!nic) {
        memcpy(port->name, "lo", sizeof("lo"));
        port->mtu_max_bytes = MTU_MAX;
        port->admin_up = port->link_up = true;
        return;
    }
    text_format(port->name, sizeof(port->name), "eth%u", index);
    memcpy(port->mac, nic->mac, sizeof(port->mac));
    memcpy(port->permanent_mac, nic->mac, sizeof(port->permanent_mac));
    uint32_t longest = MAX_OF(nic->frame_max_bytes, (uint32_t)ETHERNET_HEADER_BYTES);
    port->mtu_max_bytes = (uint16_t)MIN_OF(longest - ETHERNET_HEADER_BYTES, (uint32_t)MTU_MAX);
    port->mtu_bytes = MIN_OF(port->mtu_bytes, port->mtu_max_bytes);
    port->admin_up = true;
}

/* ---- In and out of service --------------------------------------------------------------------
 * Who may touch a card's queues is said by port->service. The control core changes it, then
 * router->services, so that each core looks again at the start of its next step, and lets go of a
 * queue there. A card is closed when all cores have passed that point, or are asleep: the rule by
 * which old views are freed. */

static void announce_change(struct router *router)
{
    atomic_fetch_add_explicit(&router->services, 1, memory_order_release);
}

static void lane_leave(struct core *core, struct port_lane *lane)
{
    struct batch *pending = &lane->pending;

    while (pending->count > 0)
        datapath_drop(core, pending->packets[--pending->count], DROP_PORT_DOWN);
    *lane = (struct port_lane){ .queue = NULL };
}

static void lane_enter(struct core *core, struct port_lane *lane, const struct port *port,
                       uint32_t service)
{
    const struct router *router = core->router;
    const struct nic *nic = port->nic;
    unsigned count = nic->queue_count;

    *lane = (struct port_lane){ .service = service, .ops = nic->ops, .polled = nic->polled };
    lane->sender = (uint16_t)core_of_queue(router, port, core->index % count, count);
    for (unsigned queue = 0; queue < count; queue++) {
        if (core_of_queue(router, port, queue, count) != core->index)
            continue;
        lane->queue = nic->queues[queue];
        lane->queue_index = (uint16_t)queue;
        lane->sender = (uint16_t)core->index;
    }
}

void ports_adopt(struct core *core)
{
    struct router *router = core->router;

    core->services = atomic_load_explicit(&router->services, memory_order_acquire);
    core->polled_count = 0;
    for (uint16_t i = 0; i < router->port_count; i++) {
        const struct port *port = &router->ports[i];
        struct port_lane *lane = &core->lanes[i];
        uint32_t service = atomic_load_explicit(&port->service, memory_order_acquire);
        if (lane->service != service)
            lane_leave(core, lane);
        if (lane->service != service)
            lane_enter(core, lane, port, service);
        if (lane->queue)
            core->polled[core->polled_count++] = i;
    }
}

/* The time of the next try, should this one fail: at once the first time, then with longer and
 * longer pauses. */
static void plan_retry(struct port *port, uint64_t now_ns)
{
    const uint64_t second = NS_PER_S;

    port->next_try_ns = now_ns + port->retry_delay_ns;
    port->retry_delay_ns = MAX_OF(2 * port->retry_delay_ns, RETRY_MIN_S * second);
    port->retry_delay_ns = MIN_OF(port->retry_delay_ns, RETRY_MAX_S * second);
}

enum error port_open(struct router *router, struct port *port, uint64_t now_ns)
{
    struct nic_queue_setup setup[NIC_QUEUE_MAX];
    struct nic *nic = port->nic;
    unsigned workers = router->core_count - first_worker(router);

    if (!nic)
        return OK;
    unsigned queue_count = MIN_OF(MAX_OF(nic->queue_max, 1u), workers);
    for (unsigned queue = 0; queue < queue_count; queue++) {
        unsigned core = core_of_queue(router, port, queue, queue_count);
        setup[queue] = (struct nic_queue_setup){ .pool = router->cores[core]->pool, .core = core };
    }
    nic->while_waiting = router->while_waiting;
    nic->while_waiting_context = router;
    port->state = PORT_OPENING;
    enum error error = nic->ops->open(nic, queue_count, setup);
    if (error != OK) {
        port->state = PORT_CLOSED;
        plan_retry(port, now_ns);
        log_error(port->name, "%s at %s does not open: %s", nic->driver, nic->location,
                  error_text(error));
        return error;
    }
    port->state = PORT_SERVING;
    port->opened_ns = now_ns;
    port->link_up = nic->ops->link_up(nic);
    atomic_store_explicit(&port->service, ++port->services, memory_order_release);
    announce_change(router);
    return OK;
}

void port_close(struct router *router, struct port *port)
{
    if (port->state == PORT_CLOSED)
        return;
    atomic_store_explicit(&port->service, 0, memory_order_relaxed);
    for (unsigned i = 0; i < router->core_count; i++) {
        struct batch *pending = &router->cores[i]->lanes[port->index].pending;
        while (pending->count > 0)
            packet_free(router->cores[i]->pool, pending->packets[--pending->count]);
        ports_adopt(router->cores[i]);
    }
    port->nic->ops->close(port->nic, router->cores[CONTROL_CORE]->pool);
    port->state = PORT_CLOSED;
}

/* For snapshot_retire(): every core has let go. */
static void note_left(void *object)
{
    struct port *port = object;

    port->state = PORT_LEFT;
}

/* False where it has to be tried again. */
static bool begin_leaving(struct router *router, struct port *port, uint64_t now_ns)
{
    uint32_t service = atomic_load_explicit(&port->service, memory_order_relaxed);

    atomic_store_explicit(&port->service, 0, memory_order_release);
    announce_change(router);
    if (snapshot_retire(&router->snapshots, port, note_left) != OK) {
        atomic_store_explicit(&port->service, service, memory_order_release);
        announce_change(router);
        return false;
    }
    port->state = PORT_LEAVING;
    port->resets++;
    if (now_ns - port->opened_ns > RETRY_MAX_S * (uint64_t)NS_PER_S)
        port->retry_delay_ns = 0;
    log_warning(port->name, "the card has failed and will be reset");
    return true;
}

static void close_failed(struct router *router, struct port *port, uint64_t now_ns)
{
    port->nic->ops->close(port->nic, router->cores[CONTROL_CORE]->pool);
    port->state = PORT_CLOSED;
    plan_retry(port, now_ns);
}

/* Sleeping cores have to fill their new queues, and to let interrupts come. */
static void wake_all(struct router *router)
{
    for (unsigned i = 0; i < router->core_count; i++)
        core_wake(i);
}

static void reopen(struct router *router, struct port *port, uint64_t now_ns)
{
    /* A MAC address that came while the card was closed. */
    if (memcmp(port->nic->mac, port->mac, sizeof(port->mac)) != 0 &&
        port->nic->ops->set_mac(port->nic, port->mac) != OK)
        log_warning(port->name, "does not take its MAC address");
    if (port_open(router, port, now_ns) != OK)
        return;
    log_info(port->name, "in service again, after %u resets", (unsigned)port->resets);
    wake_all(router);
}

bool port_check(struct router *router, struct port *port, uint64_t now_ns)
{
    bool was_up = port->link_up;

    if (!port->nic)
        return false;
    if (port->state == PORT_SERVING && !port->nic->ops->is_well(port->nic))
        begin_leaving(router, port, now_ns);
    else if (port->state == PORT_LEFT)
        close_failed(router, port, now_ns);
    else if (port->state == PORT_CLOSED && now_ns >= port->next_try_ns)
        reopen(router, port, now_ns);
    port->link_up = port->state == PORT_SERVING && port->nic->ops->link_up(port->nic);
    if (port->link_up == was_up)
        return false;
    port->link_changes++;
    return true;
}

enum error port_set_mac(struct port *port, const uint8_t mac[6])
{
    return port->state == PORT_SERVING ? port->nic->ops->set_mac(port->nic, mac) : OK;
}

void port_info(const struct router *router, const struct port *port, struct port_info *info)
{
    const struct nic *nic = port->nic;
    struct nic_stats stats = { 0 };

    *info = (struct port_info){ .driver = "loopback", .location = "" };
    if (!nic)
        return;
    info->driver = nic->driver;
    info->location = nic->location;
    info->queue_count = nic->queue_count;
    info->ring_entries_rx = nic->ring_entries_rx;
    info->ring_entries_tx = nic->ring_entries_tx;
    info->polled = nic->polled;
    for (unsigned queue = 0; queue < nic->queue_count; queue++)
        info->queue_cores[queue] = (uint8_t)core_of_queue(router, port, queue, nic->queue_count);
    for (unsigned queue = 0; queue < NIC_QUEUE_MAX; queue++) {
        info->queue_register_accesses[queue] = counter_read(&nic->register_accesses[queue]);
        info->register_accesses += info->queue_register_accesses[queue];
    }
    nic->ops->stats(port->nic, &stats);
    info->resets = port->resets;
    info->rx_errors = stats.rx_errors;
    info->rx_no_buffer = stats.rx_no_buffer;
    info->tx_errors = stats.tx_errors;
}

/* ---- In ---------------------------------------------------------------------------------------
 */

void port_receive(struct core *core, const struct port *port, struct batch *batch)
{
    const struct port_lane *lane = &core->lanes[port->index];

    lane->ops->receive(lane->queue, batch);
    counter_add(&core->ports[port->index].received, batch->count);
}

/* ---- Out --------------------------------------------------------------------------------------
 */

/* The card takes what it has room for; the rest is lost. What it has taken may be gone, so nothing
 * is looked at afterwards but what it did not take. */
static void send_by_queue(struct core *core, struct port_lane *lane, struct port_counters *port_out,
                          struct batch *frames, uint64_t bytes)
{
    unsigned taken = lane->ops->transmit(lane->queue, frames->packets, frames->count);

    counter_add(&port_out->transmitted, taken);
    counter_add(&port_out->transmitted_bytes, bytes);
    if (UNLIKELY(taken < frames->count)) {
        counter_add(&port_out->transmit_dropped, frames->count - taken);
        for (unsigned i = taken; i < frames->count; i++) {
            struct packet *packet = frames->packets[i];
            counter_subtract(&port_out->transmitted_bytes, packet->frame_length_bytes);
            counter_subtract(&core->ports[packet->port_in].sent, 1);
            datapath_drop(core, packet, DROP_TX_RING_FULL);
        }
    }
    frames->count = 0;
}

static void send_pending(struct core *core, struct port_lane *lane, struct port_counters *port_out)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < lane->pending.count; i++) {
        bytes += lane->pending.packets[i]->frame_length_bytes;
        counter_add(&core->ports[lane->pending.packets[i]->port_in].sent, 1);
    }
    send_by_queue(core, lane, port_out, &lane->pending, bytes);
}

static void lane_send(struct core *core, uint16_t port)
{
    struct port_lane *lane = &core->lanes[port];

    if (lane->queue) {
        send_pending(core, lane, &core->ports[port]);
        return;
    }
    if (lane->service != 0) {
        mailbox_send_batch(core, lane->sender, &lane->pending, MAIL_TRANSMIT);
        return;
    }
    while (lane->pending.count > 0)
        datapath_drop(core, lane->pending.packets[--lane->pending.count], DROP_PORT_DOWN);
}

static void lane_put(struct core *core, struct packet *packet)
{
    uint16_t port = packet->port_out;
    struct port_lane *lane = &core->lanes[port];

    if (UNLIKELY(lane->pending.count == BATCH_MAX))
        lane_send(core, port);
    lane->pending.packets[lane->pending.count++] = packet;
    core->lanes_pending |= UINT64_C(1) << port;
}

/* A batch came from one port. If it leaves by one as well, and nothing waits there, the card takes
 * it from where it is. */
void enqueue_batch(struct core *core, struct batch *batch, const struct findings *findings)
{
    if (batch->count == 0)
        return;
    uint16_t port_out = batch->packets[0]->port_out;
    struct port_lane *lane = &core->lanes[port_out];
    bool ours = batch->packets[0]->flags & PACKET_LOCAL;

    if (LIKELY(!findings->ports_differ && lane->queue && lane->pending.count == 0)) {
        counter_add(&core->ports[batch->packets[0]->port_in].sent, batch->count);
        core->forwarded += ours ? 0 : batch->count;
        send_by_queue(core, lane, &core->ports[port_out], batch, findings->length_bytes);
        return;
    }
    for (unsigned i = 0; i < batch->count; i++) {
        struct packet *packet = batch->packets[i];
        core->forwarded += !ours && core->lanes[packet->port_out].queue != NULL;
        lane_put(core, packet);
    }
    batch->count = 0;
}

void port_transmit(struct core *core, const struct port *port, struct packet *packet)
{
    if (!core->forwarding->ports[port->index].up || !port->nic) {
        datapath_drop(core, packet, DROP_PORT_DOWN);
        return;
    }
    packet->port_out = port->index;
    lane_put(core, packet);
}

void ports_flush(struct core *core)
{
    while (core->lanes_pending != 0) {
        unsigned port = (unsigned)__builtin_ctzll(core->lanes_pending);
        core->lanes_pending &= core->lanes_pending - 1;
        lane_send(core, (uint16_t)port);
    }
    /* Each queue, not only those that were given something: it also frees what has been sent. */
    for (unsigned i = 0; i < core->polled_count; i++) {
        struct port_lane *lane = &core->lanes[core->polled[i]];
        lane->ops->flush(lane->queue);
    }
}

/* ---- Sleep ------------------------------------------------------------------------------------
 */

bool ports_arm(struct core *core)
{
    bool work = false;

    for (unsigned i = 0; i < core->polled_count; i++) {
        struct port_lane *lane = &core->lanes[core->polled[i]];
        if (lane->ops->arm(lane->queue))
            work = true;
    }
    return work;
}

void ports_disarm(struct core *core)
{
    for (unsigned i = 0; i < core->polled_count; i++) {
        struct port_lane *lane = &core->lanes[core->polled[i]];
        lane->ops->disarm(lane->queue);
    }
}

bool ports_need_polling(const struct core *core)
{
    for (unsigned i = 0; i < core->polled_count; i++)
        if (core->lanes[core->polled[i]].polled)
            return true;
    return false;
}
