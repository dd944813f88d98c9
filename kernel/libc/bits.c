/* Counting bits, which the compiler calls where the processor it compiles for may lack POPCNT. */
#include <stdint.h>

int __popcountdi2(uint64_t bits);

int __popcountdi2(uint64_t bits)
{
    /* Sums of 2, 4 and 8 bits, each beside the next; the product adds the bytes up in the highest
     * one. */
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (int)(bits * 0x0101010101010101 >> 56);
}
