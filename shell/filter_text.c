/* See filter_text.h. */
#include "shell/filter_text.h"

#include "net/wire/ipv4.h"
#include "net/wire/ipv6.h"
#include "shell/parse.h"
#include "shell/value.h"

const char *filter_keyword(enum family family)
{
    return family == FAMILY_IPV6 ? "ipv6" : "ip";
}

static bool is_any(const struct config_filter_end *end)
{
    return end->prefix.address.family == FAMILY_NONE && end->set[0] == '\0';
}

void print_filter_end(struct text *out, const struct config_filter_end *end)
{
    char shown[PREFIX_TEXT_MAX];

    if (end->set[0] != '\0')
        text_print(out, "set %s", end->set);
    else
        text_print(out, "%s", is_any(end) ? "any" : prefix_text(&end->prefix, shown));
}

static void print_protocol(struct text *out, const struct config_filter *filter)
{
    bool ipv6 = filter->family == FAMILY_IPV6;

    if (filter->protocol == PROTOCOL_TCP)
        text_print(out, " proto tcp");
    else if (filter->protocol == PROTOCOL_UDP)
        text_print(out, " proto udp");
    else if (filter->protocol == (ipv6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP))
        text_print(out, " proto icmp");
    else
        text_print(out, " proto %u", filter->protocol);
}

static void print_end_ports(struct text *out, const char *word, const struct config_filter_end *end)
{
    if (!end->has_ports)
        return;
    text_print(out, " %s ", word);
    print_ports(out, end->first_port, end->last_port);
}

void print_filter_match(struct text *out, const struct config_filter *filter)
{
    if (filter->has_protocol)
        print_protocol(out, filter);
    print_end_ports(out, "sport", &filter->source);
    print_end_ports(out, "dport", &filter->destination);
    if (filter->has_type)
        text_print(out, " type %u", filter->type);
    if ((filter->flags_set | filter->flags_clear) != 0) {
        text_print(out, " flags ");
        print_flags(out, filter->flags_set, filter->flags_clear);
    }
    if (filter->fragment)
        text_print(out, " fragment");
    if (filter->in[0] != '\0')
        text_print(out, " in %s", filter->in);
    if (filter->out[0] != '\0')
        text_print(out, " out %s", filter->out);
}

void print_filter(struct text *out, const struct config_filter *filter)
{
    text_print(out, "%s filter %u ", filter_keyword((enum family)filter->family), filter->number);
    print_filter_rule(out, filter);
    if (filter->log)
        text_print(out, " log");
    if (filter->comment[0] != '\0') {
        text_print(out, " comment ");
        print_quoted(out, filter->comment);
    }
}

void print_filter_rule(struct text *out, const struct config_filter *filter)
{
    text_print(out, "%s", filter_action_name((enum filter_action)filter->action));
    if (!is_any(&filter->source)) {
        text_print(out, " src ");
        print_filter_end(out, &filter->source);
    }
    if (!is_any(&filter->destination)) {
        text_print(out, " dst ");
        print_filter_end(out, &filter->destination);
    }
    print_filter_match(out, filter);
}
