/* <string.h> of the freestanding build. The macros let the compiler expand short copies and
 * comparisons of known length in place, which -ffreestanding alone would forbid. */
#pragma once

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *left, const void *right, size_t size);
void *memchr(const void *where, int value, size_t size);

size_t strlen(const char *text);
size_t strnlen(const char *text, size_t size);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t size);
char *strchr(const char *text, int letter);
char *strrchr(const char *text, int letter);
char *strstr(const char *text, const char *word);
size_t strspn(const char *text, const char *letters);
size_t strcspn(const char *text, const char *letters);
char *strcpy(char *restrict to, const char *restrict from);
char *strncpy(char *restrict to, const char *restrict from, size_t size);

#define memcpy(to, from, size)    __builtin_memcpy((to), (from), (size))
#define memmove(to, from, size)   __builtin_memmove((to), (from), (size))
#define memset(to, value, size)   __builtin_memset((to), (value), (size))
#define memcmp(left, right, size) __builtin_memcmp((left), (right), (size))
#define strlen(text)              __builtin_strlen(text)
#define strcmp(left, right)       __builtin_strcmp((left), (right))
