/* What ps shows for this process. */
#ifndef COMMON_TITLE_H
#define COMMON_TITLE_H

/* Once, first thing in main(): takes over the argv and environ areas; their
 * strings move to the heap and stay usable. */
void title_init(int argc, char **argv);

/* "prefork: " followed by the formatted text, cut to what there is room for. */
void title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
