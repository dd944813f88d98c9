/* covers: drivers/terminal.c */
/* Any bytes leave the cursor on the screen and touch no cell beyond it. The first two bytes are the
 * size. */
#include "drivers/terminal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned columns = 1 + data[0] % TERMINAL_COLUMNS_MAX;
    unsigned rows = 1 + data[1] % TERMINAL_ROWS_MAX;
    struct terminal_cell *cells = malloc(columns * rows * sizeof(*cells));
    struct terminal terminal;
    if (!cells)
        return 0;
    terminal_init(&terminal, cells, columns, rows);
    terminal_write(&terminal, (const char *)data + 2, size - 2);
    CHECK(terminal.row < rows);
    CHECK(terminal.column < columns);
    for (unsigned i = 0; i < columns * rows; i++)
        CHECK(cells[i].character >= ' ' && cells[i].character < 127);
    free(cells);
    return 0;
}
