/* show ip filter code, and show ipv6 filter code. */
#pragma once

#include "shell/command.h"

enum command_result show_filter_code(struct command_call *call);
