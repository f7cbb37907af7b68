/* The plain loops that a shortfall of the XOR is shown beside: read, modify, write; and read two, write one. The protocol is
   that of agent/benches/xor.rs. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void in_place(unsigned char *restrict data, const unsigned char *restrict kernel, size_t period, size_t bytes) {
    for (size_t at = 0; at < bytes; at += period) {
        size_t run = bytes - at < period ? bytes - at : period;
        for (size_t n = 0; n < run; n++) data[at + n] ^= kernel[n];
    }
}

static void aside(unsigned char *restrict out, const unsigned char *restrict data, const unsigned char *restrict kernel,
                  size_t period, size_t bytes) {
    for (size_t at = 0; at < bytes; at += period) {
        size_t run = bytes - at < period ? bytes - at : period;
        for (size_t n = 0; n < run; n++) out[at + n] = data[at + n] ^ kernel[n];
    }
}

static unsigned char *filled(size_t bytes) {
    unsigned char *data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!data) exit(1);
    for (size_t n = 0; n < bytes; n++) data[n] = (unsigned char)(n * 2654435761u >> 24);
    return data;
}

int main(void) {
    char what[8];
    size_t period, offset, bytes, passes, held = 0;
    unsigned char *data = NULL, *out = NULL;
    while (scanf("%7s %zu %zu %zu %zu", what, &period, &offset, &bytes, &passes) == 5) {
        if (bytes != held) {
            free(data);
            free(out);
            data = filled(bytes);
            out = filled(bytes);
            held = bytes;
        }
        unsigned char *kernel = filled(period);
        struct timespec from, to;
        for (size_t pass = 0; pass <= passes; pass++) {
            if (pass == 1) clock_gettime(CLOCK_MONOTONIC, &from);
            if (strcmp(what, "in") == 0) in_place(data, kernel, period, bytes);
            else if (strcmp(what, "out") == 0) aside(out, data, kernel, period, bytes);
            else memcpy(out, data, bytes);
            __asm__ volatile("" : : "g"(data), "g"(out) : "memory");
        }
        clock_gettime(CLOCK_MONOTONIC, &to);
        free(kernel);
        double ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
        printf("%.0f\n", ns / passes);
        fflush(stdout);
    }
    return 0;
}
